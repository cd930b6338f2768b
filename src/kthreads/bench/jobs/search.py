"""Search of lines for a regular expression."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import kthreads
from kthreads.bench.jobs.workload import Workload

LINES = 50_000
PATTERN = rb"(GET|POST) /[a-z]+/[0-9]+ .*? 5[0-9][0-9] [0-9]+ms"
_EXPRESSION = re.compile(PATTERN)


class Search(Workload):
    """Finds where a pattern begins in each line of a log. kthreads and OpenMP do it by PCRE2, peers in Python by re."""

    source = """
#include <stddef.h>

void *pcre2_compile_8(const char *, size_t, unsigned, int *, size_t *, void *);
int pcre2_jit_compile_8(void *, unsigned);
void *pcre2_match_data_create_from_pattern_8(const void *, void *);
int pcre2_match_8(const void *, const unsigned char *, size_t, size_t, unsigned, void *, void *);
size_t *pcre2_get_ovector_pointer_8(void *);
void pcre2_match_data_free_8(void *);

/* A pattern in machine code, which is never freed. */
void *pattern_of(const char *text, size_t length)
{
    int error;
    size_t place;
    void *pattern = pcre2_compile_8(text, length, 0, &error, &place, NULL);
    pcre2_jit_compile_8(pattern, 1);
    return pattern;
}

void body(size_t begin, size_t end, const void *pattern, const unsigned char *text, const size_t *ends, int *found)
{
    void *match = pcre2_match_data_create_from_pattern_8(pattern, NULL);
    const size_t *place = pcre2_get_ovector_pointer_8(match);
    for (size_t i = begin; i < end; i++) {
        size_t start = i ? ends[i - 1] : 0;
        int code = pcre2_match_8(pattern, text + start, ends[i] - start, 0, 0, match, NULL);
        found[i] = code > 0 ? (int)place[0] : -1;
    }
    pcre2_match_data_free_8(match);
}

void by_openmp(size_t count, const void *pattern, const unsigned char *text, const size_t *ends, int *found)
{
    #pragma omp parallel for schedule(dynamic, 1)
    for (size_t part = 0; part < 32; part++) {
        body(count * part / 32, count * (part + 1) / 32, pattern, text, ends, found);
    }
}
"""
    libraries = (":libpcre2-8.so.0",)

    def prepare(self, chance: Any) -> None:
        self.whole = [self._line(*numbers) for numbers in chance.integers(0, 1 << 16, (LINES, 6)).tolist()]
        self.parts = [self.whole[part] for part in self.cut(LINES)]
        self.count, self.out = LINES, self.np.zeros(LINES, "i4")

    def compiled(self, *flags: str) -> kthreads.Library:
        library = super().compiled(*flags)
        ends = self.np.cumsum([len(line) for line in self.whole], dtype=self.np.uint64)
        self.arguments = library.pattern_of(PATTERN, len(PATTERN)), b"".join(self.whole), ends, self.out
        return library

    @staticmethod
    def _line(*numbers: int) -> bytes:
        a, b, c, d, e, f = numbers
        method = ("GET", "PUT", "POST", "HEAD")[a % 4]
        page = ("users", "orders", "items")[b % 3]
        return (
            f"2026-11-{d % 28 + 1:02} 10.{a % 256}.{b % 256}.{c % 256} session={e * 65_521:08x} "
            f'"{method} /{page}/{c} HTTP/1.1" agent={f:05} {200 + d % 4 * 100 + e % 5} {f % 997}ms'
        ).encode()

    @staticmethod
    def piece(part: Sequence[bytes]) -> list[int]:
        search = _EXPRESSION.search
        return [found.start() if (found := search(line)) else -1 for line in part]

    def is_right(self, outcome: Any) -> bool:
        return list(self.items(outcome)) == self.piece(self.whole)
