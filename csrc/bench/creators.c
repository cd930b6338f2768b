/* Several threads that create and join threads at the same time. */
#define _GNU_SOURCE
#include "bench/probe.h"

#include <errno.h>
#include <stdlib.h>

enum { EACH = 16 /* operations of each creator in a sample */, OVER = 0 };

struct creators {
    const struct kt__maker *maker;
    kt__word turn; /* number of the sample to take; OVER: there is no further one */
    kt__word left; /* number of creators that have not finished it */
    _Atomic(int) rc;
};

static void *create_in_turn(void *argument)
{
    struct creators *all = argument;
    uint32_t turn = 1;
    for (;;) {
        while (atomic_load(&all->turn) == turn) {
            kt__futex_wait(&all->turn, turn, KT_FUTEX_SHARED, -1);
        }
        turn = atomic_load(&all->turn);
        if (turn == OVER) {
            return NULL;
        }
        for (int i = 0; i < EACH && all->rc == 0; i++) {
            int64_t ns = kt__create_join(all->maker, kt__probe());
            if (ns < 0) {
                all->rc = (int)ns;
            }
        }
        if (atomic_fetch_sub(&all->left, 1) == 1) {
            kt__futex_wake(&all->left, 1, KT_FUTEX_SHARED);
        }
    }
}

static size_t time_them(struct creators *all, uint32_t threads, const kt_bench_request *request,
                        int64_t *samples, kt_bench_block *block)
{
    size_t count = 0;
    while (all->rc == 0 && kt__block_continues(block, request, count)) {
        all->left = threads;
        int64_t begin = kt__now();
        kt__set(&all->turn, (uint32_t)count + 2);
        kt__await(&all->left, 0);
        samples[count++] = (kt__now() - begin - kt_bench_clock_overhead()) / (EACH * (int64_t)threads);
    }
    kt__block_end(block, count);
    return count;
}

int64_t kt__creators(const struct kt__maker *maker, const kt_bench_request *request, int64_t *samples,
                     kt_bench_block *block)
{
    uint32_t threads = request->threads ? request->threads : 1, started = 0;
    struct creators all = {.maker = maker, .turn = 1};
    pthread_t *creators = calloc(threads, sizeof *creators);
    if (!creators) {
        return -ENOMEM;
    }
    while (started < threads && pthread_create(&creators[started], NULL, create_in_turn, &all) == 0) {
        started++;
    }
    size_t count = started == threads ? time_them(&all, threads, request, samples, block) : 0;
    kt__set(&all.turn, OVER);
    for (uint32_t i = 0; i < started; i++) {
        pthread_join(creators[i], NULL);
    }
    free(creators);
    return all.rc < 0 ? all.rc : started < threads ? -EAGAIN : (int64_t)count * EACH * threads;
}
