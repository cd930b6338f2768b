/* The data that the harness shares with the functions it starts. */
#ifndef KT_BENCH_PROBE_H
#define KT_BENCH_PROBE_H

#include "bench/maker.h"
#include "bench/sample.h"

struct kt__probe {
    _Alignas(128) _Atomic(int64_t) runs; /* number of runs, to check that all peers did the same work */
    int64_t began, ended;                /* when a function began and ended */
    kt__word go, ping, pong, stop;
};

/* Returns the probe, in memory that is shared with forked children, or NULL when there is no memory. */
struct kt__probe *kt__probe(void);

/* Words on which other threads, or processes, wait. */
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

/* An empty function that counts its runs. The argument is a struct kt__probe. */
void kt__empty(void *probe);

/* Creates a thread with an empty function, and joins it. Returns ns or -errno. */
int64_t kt__create_join(const struct kt__maker *maker, struct kt__probe *shared);

/* creators.c: takes a block of samples. Returns how often a function was to run, or -errno. */
int64_t kt__creators(const struct kt__maker *maker, const kt_bench_request *request, int64_t *samples,
                     kt_bench_block *block);

#endif
