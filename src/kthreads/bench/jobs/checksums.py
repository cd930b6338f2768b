"""CRC-32 of the blocks of a large array."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

from kthreads.bench.jobs.workload import Workload

BLOCKS, SIZE = 8192, 4096


class Checksums(Workload):
    """zlib.crc32 keeps the GIL for blocks of up to 5 KiB, so threads of Python cannot help; they get many blocks a task."""

    source = """
#include <stddef.h>

unsigned long crc32(unsigned long, const unsigned char *, unsigned);

void body(size_t begin, size_t end, const unsigned char *blocks, unsigned size, unsigned *sums)
{
    for (size_t i = begin; i < end; i++) {
        sums[i] = crc32(0, blocks + i * size, size);
    }
}

void by_openmp(size_t count, const unsigned char *blocks, unsigned size, unsigned *sums)
{
    #pragma omp parallel for schedule(dynamic, 128)
    for (size_t i = 0; i < count; i++) {
        sums[i] = crc32(0, blocks + i * size, size);
    }
}
"""
    libraries = (":libz.so.1",)

    def prepare(self, chance: Any) -> None:
        blocks = chance.integers(0, 256, (BLOCKS, SIZE), "u1")
        self.out = self.np.zeros(BLOCKS, "u4")
        self.count, self.arguments = BLOCKS, (blocks, SIZE, self.out)
        self.whole = [block.tobytes() for block in blocks]
        self.parts = [self.whole[part] for part in self.cut(BLOCKS)]

    @staticmethod
    def piece(part: Sequence[bytes]) -> list[int]:
        return [zlib.crc32(block) for block in part]

    def is_right(self, outcome: Any) -> bool:
        return list(self.items(outcome)) == self.piece(self.whole)
