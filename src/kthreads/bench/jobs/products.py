"""Products of many small matrices by BLAS."""

from __future__ import annotations

import glob
import os
from typing import Any

import kthreads
from kthreads.bench.jobs.workload import Operation, Workload
from kthreads.bench.model.peer_names import MissingError

PRODUCTS, SIDE = 20_000, 16
LIBRARIES = (("libopenblas.so.0", "cblas_dgemm", "int"), ("libblas.so.3", "cblas_dgemm", "int"))


class SmallProducts(Workload):
    """Every peer calls the same BLAS where it can: the one that NumPy brings along."""

    source = """
#include <stddef.h>

typedef void gemm(int, int, int, INTEGER, INTEGER, INTEGER, double, const double *, INTEGER, const double *, INTEGER,
                  double, double *, INTEGER);

enum { SIDE = 16, ITEMS = SIDE * SIDE, BY_ROWS = 101, AS_IT_IS = 111 };

void body(size_t begin, size_t end, const void *dgemm, const double *a, const double *b, double *c)
{
    gemm *multiply = (gemm *)dgemm;
    for (size_t i = begin; i < end; i++) {
        multiply(BY_ROWS, AS_IT_IS, AS_IT_IS, SIDE, SIDE, SIDE, 1, a + i * ITEMS, SIDE, b + i * ITEMS, SIDE, 0,
                 c + i * ITEMS, SIDE);
    }
}

void by_openmp(size_t count, const void *dgemm, const double *a, const double *b, double *c)
{
    #pragma omp parallel for schedule(dynamic, 64)
    for (size_t i = 0; i < count; i++) {
        body(i, i + 1, dgemm, a, b, c);
    }
}
"""

    def prepare(self, chance: Any) -> None:
        self.a, self.b = chance.random((2, PRODUCTS, SIDE, SIDE))
        self.out = self.np.zeros_like(self.a)
        self.count, self.whole = PRODUCTS, (self.a, self.b)
        self.parts = [(self.a[part], self.b[part]) for part in self.cut(PRODUCTS)]

    @staticmethod
    def piece(part: Any) -> Any:
        a, b = part
        return a @ b

    def is_right(self, outcome: Any) -> bool:
        return bool(self.np.allclose(list(self.items(outcome)), self.np.einsum("nij,njk->nik", self.a, self.b)))

    def compiled(self, *flags: str) -> kthreads.Library:
        dgemm, integer = self.blas()
        self.arguments = dgemm, self.a, self.b, self.out
        return super().compiled(*flags, f"-DINTEGER={integer}")

    def blas(self) -> tuple[int, str]:
        """The address of cblas_dgemm, and the type of its integers."""
        folder = os.path.dirname(self.np.__file__)
        brought_along = sorted(glob.glob(f"{folder}/../numpy.libs/libscipy_openblas64_*.so"))
        for library, name, integer in (*((path, "scipy_cblas_dgemm64_", "long") for path in brought_along), *LIBRARIES):
            try:
                return kthreads.symbol(library, name, "void(void)").address, integer
            except (OSError, AttributeError):
                continue
        raise MissingError("no BLAS is installed that can be called from C")

    def by_numba(self) -> Operation:
        """Loops instead of BLAS, which numba could call by way of SciPy alone."""
        numba = self.numba()

        @numba.njit(parallel=True, nogil=True, fastmath=True)  # type: ignore[untyped-decorator,unused-ignore]
        def multiply(a: Any, b: Any, c: Any) -> None:
            for product in numba.prange(PRODUCTS):
                for row in range(SIDE):
                    for column in range(SIDE):
                        c[product, row, column] = 0.0
                    for inner in range(SIDE):
                        factor = a[product, row, inner]
                        for column in range(SIDE):
                            c[product, row, column] += factor * b[product, inner, column]

        return self.filling(multiply, self.a, self.b, self.out)
