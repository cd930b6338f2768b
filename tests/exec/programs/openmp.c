/* A loop on four threads of OpenMP, three times, and its sum. */
#include <stdio.h>

int main(void)
{
    for (int round = 0; round < 3; round++) {
        long sum = 0;
#pragma omp parallel for reduction(+ : sum) num_threads(4)
        for (long i = 0; i < 1000000; i++) {
            sum += i % 7 * round;
        }
        printf("%ld\n", sum);
    }
    return 0;
}
