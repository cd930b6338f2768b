"""SHA-256 of many small messages."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from kthreads.bench.jobs.workload import Workload

MESSAGES, SIZE, DIGEST = 50_000, 200, 32


class SmallHashes(Workload):
    """The messages lie one behind the other in an array; peers that call hashlib have a bytes object for each."""

    source = """
#include <stddef.h>

typedef struct { unsigned long state[16]; } sha256;  /* SHA256_CTX of openssl/sha.h takes 112 bytes */
int SHA256_Init(sha256 *);
int SHA256_Update(sha256 *, const void *, size_t);
int SHA256_Final(unsigned char *, sha256 *);

void body(size_t begin, size_t end, const unsigned char *messages, size_t size, unsigned char *digests)
{
    for (size_t i = begin; i < end; i++) {
        sha256 hash;
        SHA256_Init(&hash);
        SHA256_Update(&hash, messages + i * size, size);
        SHA256_Final(digests + 32 * i, &hash);
    }
}

void by_openmp(size_t count, const unsigned char *messages, size_t size, unsigned char *digests)
{
    #pragma omp parallel for schedule(dynamic, 512)
    for (size_t i = 0; i < count; i++) {
        body(i, i + 1, messages, size, digests);
    }
}
"""
    libraries = (":libcrypto.so.3",)

    def prepare(self, chance: Any) -> None:
        messages = chance.integers(0, 256, (MESSAGES, SIZE), "u1")
        self.out = self.np.zeros((MESSAGES, DIGEST), "u1")
        self.count, self.arguments = MESSAGES, (messages, SIZE, self.out)
        self.whole = [message.tobytes() for message in messages]
        self.parts = [self.whole[part] for part in self.cut(MESSAGES)]

    @staticmethod
    def piece(part: Sequence[bytes]) -> list[bytes]:
        return [hashlib.sha256(message).digest() for message in part]

    def is_right(self, outcome: Any) -> bool:
        return b"".join(self.items(outcome)) == b"".join(self.piece(self.whole))
