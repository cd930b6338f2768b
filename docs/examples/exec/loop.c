/* Estimates pi by a loop of OpenMP on four threads. */
#include <stdio.h>

int main(void)
{
    const long steps = 20000000;
    double sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(4)
    for (long i = 0; i < steps; i++) {
        double x = ((double)i + 0.5) / (double)steps;
        sum += 4 / (1 + x * x);
    }
    printf("%.6f\n", sum / (double)steps);
    return 0;
}
