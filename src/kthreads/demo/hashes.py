"""SHA-256 of every block of a file, by libcrypto."""

from __future__ import annotations

import hashlib
from concurrent.futures import Executor

import kthreads
from kthreads.demo.comparison import Comparison, Missing, Way, count_of, map_in_groups

__all__ = ["BLOCK", "compare_hashes"]

BLOCK, DIGEST = 4096, 32
LIBRARIES = ("libcrypto.so.3", "libcrypto.so.4")


def _sha256_of(block: memoryview) -> bytes:
    return hashlib.sha256(block).digest()


def _libcrypto() -> tuple[kthreads.NativeFunction, int]:
    """The function that hashes, and the address of the algorithm.

    EVP_Digest is told the algorithm; SHA256 of the same library looks it up by its name in each call.
    """
    for library in LIBRARIES:
        try:
            fetch = kthreads.symbol(library, "EVP_MD_fetch", "uintptr_t(void *, const char *, const char *)")
            digest = kthreads.symbol(
                library, "EVP_Digest", "int(const void *, size_t, void *, unsigned int *, const void *, void *)"
            )
        except OSError:
            continue
        return digest, int(fetch(None, "SHA256", None))
    raise Missing(f"{LIBRARIES[0]} is not installed")


def compare_hashes(content: bytes, name: str, threads: int, pool: kthreads.Pool, executor: Executor) -> Comparison:
    """The job.

    Raises:
        Missing: libcrypto is not installed.
    """
    digest, sha256 = _libcrypto()
    whole = len(content) - len(content) % BLOCK
    blocks = [memoryview(content)[begin : begin + BLOCK] for begin in range(0, len(content), BLOCK)]
    digests = bytearray(DIGEST * len(blocks))
    shape = whole // BLOCK
    rows = memoryview(content)[:whole].cast("B", (shape, BLOCK))
    places = memoryview(digests)[: DIGEST * shape].cast("B", (shape, DIGEST))
    reference = b"".join(map(_sha256_of, blocks))

    def by_kthreads() -> list[bytes]:
        batch = pool.submit_many(digest, rows, BLOCK, places, None, sha256, None)
        if whole < len(content):  # the last block is shorter
            digest(blocks[-1], len(blocks[-1]), memoryview(digests)[-DIGEST:], None, sha256, None)
        batch.array()
        return [bytes(digests)]

    ways = [
        Way("one thread, hashlib", lambda: [_sha256_of(block) for block in blocks]),
        Way("ThreadPoolExecutor, hashlib", lambda: map_in_groups(executor, threads, _sha256_of, blocks)),
        Way("kthreads, EVP_Digest of libcrypto", by_kthreads),
    ]
    title = f"SHA-256 of the {count_of(len(blocks), 'block')} of {name}"
    return Comparison(title, len(content), ways, lambda outcome: b"".join(outcome) == reference, "hashlib")
