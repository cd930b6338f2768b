"""A special function of each element of an array."""

from __future__ import annotations

import math
from typing import Any

from kthreads.bench.jobs.workload import Operation, Workload, package

ITEMS = 1_000_000


class SpecialFunction(Workload):
    """erf, which the standard library and libm have, and NumPy has not. With -ffast-math, gcc calls the form of it that
    computes several values at once, where glibc has one."""

    source = """
#include <math.h>
#include <stddef.h>

void body(size_t begin, size_t end, const double *restrict x, double *restrict y)
{
    for (size_t i = begin; i < end; i++) {
        y[i] = erf(x[i]);
    }
}

void by_openmp(size_t count, const double *restrict x, double *restrict y)
{
    #pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        y[i] = erf(x[i]);
    }
}
"""
    flags = ("-ffast-math",)

    def prepare(self, chance: Any) -> None:
        self.x, self.out = chance.normal(size=ITEMS), self.np.zeros(ITEMS)
        self.count, self.arguments = ITEMS, (self.x, self.out)
        self.whole = self.x.tolist()
        self.parts = [self.whole[part] for part in self.cut(ITEMS)]

    @staticmethod
    def piece(part: list[float]) -> list[float]:
        return list(map(math.erf, part))

    def is_right(self, outcome: Any) -> bool:
        return bool(self.np.allclose(list(self.items(outcome)), self.piece(self.whole), rtol=1e-12))

    def by_scipy(self) -> Operation:
        package("scipy", "SciPy")
        from scipy.special import erf

        return lambda: erf(self.x, out=self.out)

    def by_numba(self) -> Operation:
        numba = self.numba()

        @numba.njit(parallel=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator,unused-ignore]
        def loop(x: Any, y: Any) -> None:
            for i in numba.prange(x.size):
                y[i] = math.erf(x[i])

        return self.filling(loop, self.x, self.out)
