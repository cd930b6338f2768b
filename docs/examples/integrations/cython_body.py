"""A function of a Cython module as the body of a parallel loop. Run `cythonize -i bodies.pyx` first."""

import bodies
import numpy as np

import kthreads

axpy = kthreads.native(bodies.__pyx_capi__["axpy"])
x, y = np.arange(1_000_000.0), np.ones(1_000_000)
with kthreads.Pool() as pool:
    pool.parallel_for(axpy, x.size, 2.0, x, y)
print(y[:3], bool((y == 1 + 2 * x).all()))
# prints: [1. 3. 5.] True
