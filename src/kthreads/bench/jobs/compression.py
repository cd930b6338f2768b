"""Compression of blocks by zlib and by zstd."""

from __future__ import annotations

import sys
import zlib
from collections.abc import Sequence
from typing import Any

import kthreads
from kthreads.bench.jobs.workload import Operation, Workload, package

BLOCKS, SIZE, LEVEL = 64, 64 << 10, 1
ROOM = SIZE + 1024  # for a compressed block: more than compressBound and ZSTD_compressBound ask for
ZSTD, ZSTD_LEVEL = "libzstd.so.1", 3


class BlockCompression(Workload):
    """Each worker of kthreads and of OpenMP has one compressor, which it resets for the next block; the module zlib makes a
    new one for each."""

    source = """
#include <omp.h>
#include <stddef.h>

typedef struct {
    const unsigned char *next_in;
    unsigned avail_in;
    unsigned long total_in;
    unsigned char *next_out;
    unsigned avail_out;
    unsigned long total_out;
    const char *message;
    void *state, *alloc, *free, *opaque;
    int data_type;
    unsigned long adler, reserved;
} stream;  /* z_stream of zlib.h */
int deflateInit_(stream *, int, const char *, int);
int deflateReset(stream *);
int deflate(stream *, int);

enum { SIZE = 65536, ROOM = 66560, FINISH = 4, STATE = 128 };

/* `state` is a stream that is zero at first. It is never freed. */
void body(size_t begin, size_t end, const unsigned char *blocks, unsigned char *out, size_t *lengths, unsigned char *state)
{
    stream *s = (stream *)state;
    if (!s->state) {
        deflateInit_(s, 1, "1", sizeof *s);
    }
    for (size_t i = begin; i < end; i++) {
        deflateReset(s);
        s->next_in = blocks + i * SIZE, s->avail_in = SIZE;
        s->next_out = out + i * ROOM, s->avail_out = ROOM;
        deflate(s, FINISH);
        lengths[i] = s->total_out;
    }
}

void by_openmp(size_t count, const unsigned char *blocks, unsigned char *out, size_t *lengths, unsigned char *states)
{
    #pragma omp parallel for schedule(dynamic, 1)
    for (size_t i = 0; i < count; i++) {
        body(i, i + 1, blocks, out, lengths, states + STATE * omp_get_thread_num());
    }
}
"""
    libraries = (":libz.so.1",)
    flags = ("-fopenmp",)

    def prepare(self, chance: Any) -> None:
        words = [bytes(chance.integers(97, 123, length, "u1")) for length in chance.integers(2, 10, 1000)]
        text = b" ".join(words[number] for number in chance.zipf(1.3, BLOCKS * SIZE // 4) % len(words))
        blocks = self.np.frombuffer(text * 2, "u1", BLOCKS * SIZE).reshape(BLOCKS, SIZE)
        self.room, self.out = self.np.zeros((BLOCKS, ROOM), "u1"), self.np.zeros(BLOCKS, "u8")
        self.states = self.np.zeros((max(64, self.threads), 128), "u1")
        self.count, self.arguments = BLOCKS, (blocks, self.room, self.out, self.states)
        self.whole = [block.tobytes() for block in blocks]
        self.parts = [[block] for block in self.whole]

    @staticmethod
    def piece(part: Sequence[bytes]) -> list[bytes]:
        return [zlib.compress(block, LEVEL) for block in part]

    def is_right(self, outcome: Any) -> bool:
        blocks = list(self.items(outcome))
        if outcome is self.out:
            blocks = [room[:length].tobytes() for room, length in zip(self.room, blocks, strict=True)]
        return bool(self.whole == [self.decompressed(block) for block in blocks])

    @staticmethod
    def decompressed(block: bytes) -> bytes:
        return zlib.decompress(block)

    def by_kthreads(self) -> Operation:
        body, pool = self.compiled().body, self.pool()
        *arguments, states = self.arguments
        state = kthreads.PerWorker(states[: pool.workers])
        return self.filling(pool.parallel_for, body, BLOCKS, *arguments, state)


class ZstdCompression(BlockCompression):
    """The same by zstd. Peers in Python call the module of Python 3.14, or the package zstandard."""

    source = """
#include <omp.h>
#include <stddef.h>

void *ZSTD_createCCtx(void);
size_t ZSTD_compressCCtx(void *, void *, size_t, const void *, size_t, int);

enum { SIZE = 65536, ROOM = 66560, STATE = 128 };

/* `state` is the address of a compressor, or zero at first. The compressor is never freed. */
void body(size_t begin, size_t end, const unsigned char *blocks, unsigned char *out, size_t *lengths, unsigned char *state)
{
    void **compressor = (void **)state;
    if (!*compressor) {
        *compressor = ZSTD_createCCtx();
    }
    for (size_t i = begin; i < end; i++) {
        lengths[i] = ZSTD_compressCCtx(*compressor, out + i * ROOM, ROOM, blocks + i * SIZE, SIZE, 3);
    }
}

void by_openmp(size_t count, const unsigned char *blocks, unsigned char *out, size_t *lengths, unsigned char *states)
{
    #pragma omp parallel for schedule(dynamic, 1)
    for (size_t i = 0; i < count; i++) {
        body(i, i + 1, blocks, out, lengths, states + STATE * omp_get_thread_num());
    }
}
"""
    libraries = (f":{ZSTD}",)

    def prepare(self, chance: Any) -> None:
        super().prepare(chance)
        self.parts = [self.whole[part] for part in self.cut(BLOCKS)]

    @staticmethod
    def piece(part: Sequence[bytes]) -> list[bytes]:
        if sys.version_info >= (3, 14):
            from compression import zstd

            return [zstd.compress(block, ZSTD_LEVEL) for block in part]
        compressor = package("zstandard", "zstandard, which compression by zstd needs,").ZstdCompressor(
            level=ZSTD_LEVEL
        )
        return [compressor.compress(block) for block in part]

    @staticmethod
    def decompressed(block: bytes) -> bytes:
        decompress = kthreads.symbol(ZSTD, "ZSTD_decompress", "size_t(void *, size_t, const void *, size_t)")
        found = bytearray(SIZE)
        return bytes(found[: decompress(found, SIZE, block, len(block))])
