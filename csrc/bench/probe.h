/* What the harness and the functions it starts share. */
#ifndef KT_BENCH_PROBE_H
#define KT_BENCH_PROBE_H

#include "bench/maker.h"
#include "bench/sample.h"

struct kt__probe {
    _Alignas(128) _Atomic(int64_t) runs; /* proves that every side did the same work */
    int64_t began, ended;                /* when a function began and ended */
    kt__word go, ping, pong, stop;
};

/* In memory that a forked child shares, too. NULL when there is none. */
struct kt__probe *kt__probe(void);

/* Words that tell other threads, or processes, to go on. */
static inline void kt__set(kt__word *word, uint32_t value)
{
    atomic_store(word, value);
    kt__futex_wake(word, INT32_MAX, KT_FUTEX_SHARED);
}

static inline void kt__await(kt__word *word, uint32_t value)
{
    uint32_t now;
    while ((now = atomic_load(word)) != value) {
        kt__futex_wait(word, now, KT_FUTEX_SHARED, -1);
    }
}

/* An empty function, which counts its runs. The argument is a struct kt__probe. */
void kt__empty(void *probe);

/* Creates an empty function's thread and joins it: ns, or -errno. */
int64_t kt__create_join(const struct kt__maker *maker, struct kt__probe *shared);

/* creators.c: a block; how often a function was to run, or -errno. */
int64_t kt__creators(const struct kt__maker *maker, const kt_bench_request *request, int64_t *samples,
                     kt_bench_block *block);

#endif
