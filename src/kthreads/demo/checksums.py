"""CRC-32 of every file, by libz."""

from __future__ import annotations

import zlib
from concurrent.futures import Executor

import kthreads
from kthreads.demo.comparison import Comparison, Missing, Way, count_of, map_in_groups
from kthreads.demo.files import Files

__all__ = ["checksums", "compare_checksums"]

LIBRARY = "libz.so.1"


def checksums(files: Files) -> list[int]:
    """The reference: the CRC-32 of each file by zlib."""
    return [zlib.crc32(content) for content in files.contents]


def compare_checksums(files: Files, threads: int, pool: kthreads.Pool, executor: Executor) -> Comparison:
    """The job. Each way gets the same parts of the files.

    Raises:
        Missing: libz is not installed.
    """
    try:
        crc32 = kthreads.symbol(LIBRARY, "crc32", "unsigned long(unsigned long, const unsigned char *, unsigned int)")
        combine = kthreads.symbol(LIBRARY, "crc32_combine", "unsigned long(unsigned long, unsigned long, long)")
    except OSError:
        raise Missing(f"{LIBRARY} is not installed") from None
    numbers, parts = zip(*files.parts(threads), strict=True)
    sizes = [len(part) for part in parts]
    reference = checksums(files)

    def is_right(sums: list[int]) -> bool:
        """Whether they are the sums of the parts: libz makes the sum of a large file from those of its parts."""
        totals = [0] * len(reference)
        for number, part, size in zip(numbers, sums, sizes, strict=True):
            is_whole = size == len(files.contents[number])
            totals[number] = part if is_whole else int(combine(totals[number], part, size))
        return totals == reference

    ways = [
        Way("one thread, zlib.crc32", lambda: [zlib.crc32(part) for part in parts]),
        Way("ThreadPoolExecutor, zlib.crc32", lambda: map_in_groups(executor, threads, zlib.crc32, parts)),
        Way("kthreads, crc32 of libz", lambda: pool.submit_many(crc32, 0, parts, sizes).results()),
    ]
    title = f"CRC-32 of {count_of(len(files.paths), 'file')}"
    return Comparison(title, files.size, ways, is_right, "zlib.crc32")
