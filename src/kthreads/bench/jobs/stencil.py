"""A stencil: the heat equation on a grid."""

from __future__ import annotations

from typing import Any

from kthreads.bench.jobs.workload import Operation, Workload

SIDE, STEPS = 1000, 40


class Stencil(Workload):
    """Each point becomes the mean of its four neighbours, again and again: a loop over the rows for each step. The data
    never leave the process, so processes are no peer."""

    source = """
#include <stddef.h>

void body(size_t begin, size_t end, size_t side, const double *from, double *to)
{
    for (size_t row = begin; row < end; row++) {
        const double *restrict here = from + row * side;
        double *restrict there = to + row * side;
        for (size_t column = 1; column < side - 1; column++) {
            there[column] = 0.25 * (here[column - side] + here[column + side] + here[column - 1] + here[column + 1]);
        }
    }
}

void by_openmp(size_t steps, size_t side, double *from, double *to)
{
    for (size_t step = 0; step < steps; step++) {
        #pragma omp parallel for schedule(static)
        for (size_t row = 1; row < side - 1; row++) {
            body(row, row + 1, side, from, to);
        }
        double *other = from;
        from = to, to = other;
    }
}
"""

    def prepare(self, chance: Any) -> None:
        start = chance.random((SIDE, SIDE))
        self.grids = start.copy(), start.copy()
        self.count, self.arguments, self.out = STEPS, (SIDE, *self.grids), self.grids[0]
        self.steps = [self.grids, self.grids[::-1]] * (STEPS // 2)
        self.rows = [slice(part.start + 1, part.stop + 1) for part in self.cut(SIDE - 2, self.threads)]
        self.wanted = start.copy()
        for _ in range(STEPS):
            self.piece((self.wanted.copy(), self.wanted, slice(1, SIDE - 1)))

    @staticmethod
    def piece(part: Any) -> None:
        """One step of some rows."""
        source, target, rows = part
        above, below = slice(rows.start - 1, rows.stop - 1), slice(rows.start + 1, rows.stop + 1)
        result = target[rows, 1:-1]
        result[...] = source[above, 1:-1]
        result += source[below, 1:-1]
        result += source[rows, :-2]
        result += source[rows, 2:]
        result *= 0.25

    def is_right(self, outcome: Any) -> bool:
        return bool(self.np.allclose(outcome, self.wanted, rtol=1e-9))

    def by_step(self, do: Any) -> Operation:
        """The operation that calls ``do(source, target)`` for each step."""

        def run() -> Any:
            for source, target in self.steps:
                do(source, target)
            return self.out

        return run

    def by_kthreads(self) -> Operation:
        body, pool = self.compiled().body, self.pool()
        loops = [pool.prepare(body, range(1, SIDE - 1), SIDE, *grids) for grids in self.steps[:2]]

        def run() -> Any:
            for _ in range(STEPS // 2):
                for loop in loops:
                    loop()
            return self.out

        return run

    def by_numpy(self) -> Operation:
        return self.by_step(lambda source, target: self.piece((source, target, slice(1, SIDE - 1))))

    def by_threadpoolexecutor(self) -> Operation:
        executor = self.executor()
        return self.by_step(
            lambda source, target: list(executor.map(self.piece, [(source, target, rows) for rows in self.rows]))
        )

    def by_joblib(self) -> Operation:
        parallel, piece = self.joblib()
        return self.by_step(lambda source, target: parallel(piece((source, target, rows)) for rows in self.rows))

    def by_numba(self) -> Operation:
        numba = self.numba()

        @numba.njit(parallel=True, nogil=True)  # type: ignore[untyped-decorator,unused-ignore]
        def step(source: Any, target: Any) -> None:
            for row in numba.prange(1, source.shape[0] - 1):
                for column in range(1, source.shape[1] - 1):
                    target[row, column] = 0.25 * (
                        source[row - 1, column]
                        + source[row + 1, column]
                        + source[row, column - 1]
                        + source[row, column + 1]
                    )

        return self.by_step(step)
