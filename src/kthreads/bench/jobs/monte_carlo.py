"""A Monte Carlo estimate: each worker has a generator of random numbers and a sum of its own."""

from __future__ import annotations

import math
from typing import Any

import kthreads
from kthreads.bench.jobs.workload import Operation, Workload

POINTS = 2_000_000
ERRORS = 6  # standard errors of the estimate that it may be away from pi


class MonteCarlo(Workload):
    """Estimates pi by the points of a square that lie in a circle. kthreads keeps the state of each worker by `PerWorker`."""

    source = """
#include <omp.h>
#include <stddef.h>
#include <stdint.h>

static double next(uint64_t *s)  /* xoshiro256+ by Blackman and Vigna */
{
    uint64_t result = s[0] + s[3], t = s[1] << 17;
    s[2] ^= s[0], s[3] ^= s[1], s[1] ^= s[2], s[0] ^= s[3], s[2] ^= t;
    s[3] = s[3] << 45 | s[3] >> 19;
    return (double)(result >> 11) * 0x1p-53;
}

void body(size_t begin, size_t end, uint64_t *state)
{
    uint64_t s[4] = {state[0], state[1], state[2], state[3]}, inside = 0;
    for (size_t i = begin; i < end; i++) {
        double x = next(s), y = next(s);
        inside += x * x + y * y < 1;
    }
    state[0] = s[0], state[1] = s[1], state[2] = s[2], state[3] = s[3];
    state[4] += inside;
}

void by_openmp(size_t count, uint64_t *states)
{
    #pragma omp parallel
    {
        size_t number = omp_get_thread_num(), all = omp_get_num_threads();
        body(count * number / all, count * (number + 1) / all, states + 16 * number);
    }
}
"""
    flags = ("-fopenmp",)

    def prepare(self, chance: Any) -> None:
        self.out = chance.integers(1, 1 << 63, (max(64, self.threads), 16), self.np.uint64)  # a row takes 128 bytes
        self.count, self.arguments = POINTS, (self.out,)
        self.whole = chance, POINTS
        sizes = [part.stop - part.start for part in self.cut(POINTS)]
        self.parts = list(zip(chance.spawn(len(sizes)), sizes, strict=True))

    @staticmethod
    def piece(part: Any) -> int:
        """How many points lie inside."""
        chance, points = part
        x, y = chance.random(points), chance.random(points)
        return int((x * x + y * y < 1).sum())

    def is_right(self, outcome: Any) -> bool:
        inside = sum(outcome) if isinstance(outcome, list) else outcome
        error = 4 * math.sqrt(math.pi / 4 * (1 - math.pi / 4) / POINTS)
        return abs(4 * inside / POINTS - math.pi) < ERRORS * error

    def by_kthreads(self) -> Operation:
        body, pool = self.compiled().body, self.pool()
        states = kthreads.PerWorker(self.out[: pool.workers])
        return self.summed(lambda: pool.parallel_for(body, POINTS, states))

    def by_openmp(self) -> Operation:
        function = self.compiled().by_openmp
        return self.summed(lambda: function(POINTS, self.out))

    def summed(self, run: Operation) -> Operation:
        """The operation that runs the points, and then adds up the workers' sums."""

        def run_and_sum() -> int:
            self.out[:, 4] = 0
            run()
            return int(self.out[:, 4].sum())

        return run_and_sum

    def by_numba(self) -> Operation:
        numba, random = self.numba(), self.np.random.random

        @numba.njit(parallel=True, nogil=True)  # type: ignore[untyped-decorator,unused-ignore]
        def count(points: int) -> int:
            inside = 0
            for _ in numba.prange(points):
                x, y = random(), random()
                inside += x * x + y * y < 1
            return inside

        return lambda: count(POINTS)
