"""The entropy of every block of a file, by C that is compiled for it."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor
from typing import Any

import kthreads
from kthreads.demo.comparison import Comparison, Missing, Way, count_of
from kthreads.errors import BuildCacheError, CompileError, CompilerNotFoundError

__all__ = ["compare_entropies"]

BLOCK = 4096
PROBES = 64  # blocks that the reference computes, in Python
BLOCKS_AT_ONCE = 64  # what NumPy computes with then fits into the cache

SOURCE = """
#include <math.h>
#include <stddef.h>
#include <stdint.h>

void entropies(size_t begin, size_t end, const uint8_t *data, size_t size, double *out)
{
    for (size_t block = begin; block < end; block++) {
        uint32_t counts[4][256] = {0};  /* four, so that an addition need not wait for the one before */
        const uint8_t *bytes = data + block * size;
        for (size_t i = 0; i + 4 <= size; i += 4) {
            counts[0][bytes[i]]++, counts[1][bytes[i + 1]]++, counts[2][bytes[i + 2]]++, counts[3][bytes[i + 3]]++;
        }
        double bits = 0;
        for (int value = 0; value < 256; value++) {
            double part = (double)(counts[0][value] + counts[1][value] + counts[2][value] + counts[3][value]) / size;
            bits -= part > 0 ? part * log2(part) : 0;
        }
        out[block] = bits;
    }
}
"""


def _entropy_of(block: bytes) -> float:
    """The reference: bits of information in a byte of a block."""
    parts = (count / len(block) for count in Counter(block).values())
    return -math.fsum(part * math.log2(part) for part in parts)


def _numpy_way(np: Any) -> Any:
    """The entropies of blocks, the rows of an array, by NumPy."""
    offsets = 256 * np.arange(BLOCKS_AT_ONCE)[:, None]

    def entropies(blocks: Any) -> Any:
        counts = np.bincount((blocks + offsets[: len(blocks)]).ravel(), minlength=256 * len(blocks))
        parts = counts.reshape(len(blocks), 256) / BLOCK
        return -(parts * np.log2(parts, where=parts > 0, out=np.zeros_like(parts))).sum(axis=1)

    return entropies


def _numpy_ways(content: bytes, count: int, executor: Executor) -> list[Way]:
    """The ways by NumPy; none where it is not installed."""
    try:
        import numpy as np
    except ImportError:
        return []
    blocks = np.frombuffer(content, "u1", count * BLOCK).reshape(count, BLOCK)
    groups = [blocks[begin : begin + BLOCKS_AT_ONCE] for begin in range(0, count, BLOCKS_AT_ONCE)]
    entropies = _numpy_way(np)
    return [
        Way("one thread, NumPy", lambda: np.concatenate([entropies(group) for group in groups])),
        Way("ThreadPoolExecutor, NumPy", lambda: np.concatenate(list(executor.map(entropies, groups)))),
    ]


def compare_entropies(content: bytes, name: str, pool: kthreads.Pool, executor: Executor) -> Comparison:
    """The job, for the whole blocks of a file.

    Raises:
        Missing: there is no C compiler.
    """
    try:
        entropies = kthreads.compile_c(SOURCE).entropies
    except (BuildCacheError, CompileError, CompilerNotFoundError) as error:
        raise Missing(str(error).splitlines()[0]) from None
    count = len(content) // BLOCK
    found = array("d", bytes(8 * count))
    probes = range(0, count, max(1, count // PROBES))
    reference = [_entropy_of(content[BLOCK * probe : BLOCK * (probe + 1)]) for probe in probes]

    def in_c() -> Sequence[float]:
        entropies(0, count, content, BLOCK, found)
        return found

    def by_kthreads() -> Sequence[float]:
        pool.parallel_for(entropies, count, content, BLOCK, found)
        return found

    def is_right(outcome: Sequence[float]) -> bool:
        pairs = zip(probes, reference, strict=True)
        return len(outcome) == count and all(math.isclose(outcome[at], bits, abs_tol=1e-9) for at, bits in pairs)

    ways = [
        *_numpy_ways(content, count, executor),
        Way("one thread, C", in_c),
        Way("kthreads, C", by_kthreads),
    ]
    title = f"Entropy of the {count_of(count, 'block')} of {name}"
    return Comparison(title, count * BLOCK, ways, is_right, "Python's math")
