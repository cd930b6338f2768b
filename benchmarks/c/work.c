/* What benchmarks/pool.py has both sides do. */
#include <stddef.h>

void scale(size_t begin, size_t end, double factor, double *values)
{
    for (size_t i = begin; i < end; i++) {
        values[i] = values[i] * factor + 1;
    }
}

void scale_by_openmp(size_t count, double factor, double *values)
{
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < count; i++) {
        values[i] = values[i] * factor + 1;
    }
}

int same(int value)
{
    return value;
}
