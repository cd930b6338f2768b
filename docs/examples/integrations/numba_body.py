"""A numba cfunc as the body of a parallel loop over a NumPy array."""

import numba
import numpy as np

import kthreads


@numba.cfunc("void(intp, intp, CPointer(float64), CPointer(float64))")
def escape_times(begin, end, real, result):
    """Counts the steps of z → z² + c for which |z| stays within 2, for points on the real line."""
    for i in range(begin, end):
        z, steps = 0.0, 0
        while abs(z) <= 2 and steps < 200:
            z = z * z + real[i]
            steps += 1
        result[i] = steps


points = np.linspace(-2.5, 0.5, 100_000)
steps = np.empty_like(points)
with kthreads.Pool() as pool:
    pool.parallel_for(escape_times, points.size, points, steps)
print(int(steps.min()), int(steps.max()))
# prints: 1 200
