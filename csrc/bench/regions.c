/* The suites of pools: regions and tasks. */
#define _GNU_SOURCE
#include "bench/peer.h"
#include "bench/probe.h"

#include "cpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const struct kt__peer *const peers[] = {
    &kt__peer_kthreads, &kt__peer_libgomp, &kt__peer_libomp, &kt__peer_pthreadpool, &kt__peer_tbb,
    &kt__peer_condvar,  &kt__peer_pthread, &kt__peer_clone,  &kt__peer_reuse,
};

size_t kt_bench_pools(void)
{
    return sizeof peers / sizeof peers[0];
}

const char *kt_bench_pool_name(size_t pool)
{
    return pool < kt_bench_pools() ? peers[pool]->name : NULL;
}

const char *kt_bench_pool_missing(size_t pool)
{
    if (pool >= kt_bench_pools()) {
        return "there is no such pool";
    }
    return peers[pool]->missing ? peers[pool]->missing() : NULL;
}

int kt_bench_pool_open(kt_bench_pool **out, size_t which, uint32_t threads, int64_t spin_ns)
{
    if (kt_bench_pool_missing(which)) {
        return -ENOTSUP;
    }
    kt_bench_pool *pool = calloc(1, sizeof *pool);
    if (!pool) {
        return -ENOMEM;
    }
    pool->peer = peers[which];
    pool->threads = threads;
    int rc = pool->peer->open(pool, spin_ns);
    if (rc < 0) {
        free(pool);
        return rc;
    }
    *out = pool;
    return 0;
}

void kt_bench_pool_close(kt_bench_pool *pool)
{
    pool->peer->close(pool);
    free(pool);
}

struct slot {
    _Alignas(KT_CACHE_LINE) uint64_t runs;
    uintptr_t who;
};

struct region {
    uint64_t turns;
    uint32_t threads;
    uintptr_t *who; /* room for all participants */
    struct slot slots[];
};

static void run_participant(void *argument, uint32_t number)
{
    struct region *region = argument;
    region->slots[number].runs++;
    region->slots[number].who = (uintptr_t)pthread_self();
    kt__work(region->turns);
}

static int compare(const void *a, const void *b)
{
    uintptr_t x = *(const uintptr_t *)a, y = *(const uintptr_t *)b;
    return (x > y) - (x < y);
}

/* Returns how many threads ran the last region; -EPROTO unless each participant has run `n` times in all. */
static int64_t seen(const struct region *region, uint64_t n)
{
    for (uint32_t i = 0; i < region->threads; i++) {
        if (region->slots[i].runs != n) {
            return -EPROTO;
        }
        region->who[i] = region->slots[i].who;
    }
    qsort(region->who, region->threads, sizeof *region->who, compare);
    int64_t count = 1;
    for (uint32_t i = 1; i < region->threads; i++) {
        count += region->who[i] != region->who[i - 1];
    }
    return count;
}

/* `samples` may be NULL. */
static int time_regions(kt_bench_pool *pool, struct region *region, const kt_bench_request *request,
                        int64_t *samples, kt_bench_block *block)
{
    size_t count = 0;
    uint64_t before = region->slots[0].runs;
    int64_t more = 0, seen_so_far = 0;
    kt__block_begin(block);
    while (more >= 0 && kt__block_continues(block, request, count)) {
        int64_t begin = kt__now();
        int rc = pool->peer->region(pool, run_participant, region);
        int64_t took = kt__now() - begin;
        if (samples) {
            samples[count] = took - kt_bench_clock_overhead() - block->work_ns;
        }
        more = rc < 0 ? rc : seen(region, before + ++count);
        seen_so_far += more;
    }
    kt__block_end(block, count);
    block->seen = seen_so_far;
    return more < 0 ? (int)more : 0;
}

static int regions(kt_bench_pool *pool, const kt_bench_request *request, int64_t *samples,
                   kt_bench_block *block)
{
    size_t size = sizeof(struct region) + pool->threads * sizeof(struct slot);
    struct region *region = aligned_alloc(KT_CACHE_LINE, size);
    uintptr_t *who = calloc(pool->threads, sizeof *who);
    int rc = region && who ? 0 : -ENOMEM;
    if (rc == 0) {
        memset(region, 0, size);
        region->threads = pool->threads;
        region->who = who;
        region->turns = kt__work_turns(request->work_ns);
        block->work_ns = kt__work_takes(region->turns);
        kt_bench_request warm_up = kt__warm_up(request);
        rc = time_regions(pool, region, &warm_up, NULL, &(kt_bench_block){.count = 0});
    }
    if (rc == 0) {
        rc = time_regions(pool, region, request, samples, block);
    }
    free(who);
    free(region);
    return rc;
}

static void stamp(void *argument)
{
    struct kt__probe *shared = argument;
    shared->began = kt__now();
    atomic_fetch_add_explicit(&shared->runs, 1, memory_order_relaxed);
}

static void stamp_and_notify(void *argument)
{
    struct kt__probe *shared = argument;
    stamp(shared);
    kt__set(&shared->pong, 1);
}

/* Returns ns or -errno. */
static int64_t run_task(kt_bench_pool *pool, bool until_it_began, struct kt__probe *shared)
{
    const struct kt__peer *peer = pool->peer;
    shared->pong = 0;
    int64_t begin = kt__now();
    int rc = peer->task(pool, peer->wait ? stamp : stamp_and_notify, shared);
    if (rc == 0 && peer->wait) {
        rc = peer->wait(pool);
    } else if (rc == 0) {
        kt__await(&shared->pong, 1);
    }
    return rc < 0 ? rc : (until_it_began ? shared->began : kt__now()) - begin;
}

/* `samples` may be NULL. */
static int time_tasks(kt_bench_pool *pool, bool until_it_began, const kt_bench_request *request,
                      int64_t *samples, kt_bench_block *block)
{
    struct kt__probe *shared = kt__probe();
    if (!pool->peer->task || !shared) {
        return pool->peer->task ? -ENOMEM : -ENOTSUP;
    }
    size_t count = 0;
    int64_t rc = 0;
    shared->runs = 0;
    kt__block_begin(block);
    while (rc >= 0 && kt__block_continues(block, request, count)) {
        rc = run_task(pool, until_it_began, shared);
        if (samples) {
            samples[count] = rc - kt_bench_clock_overhead();
        }
        count++;
    }
    kt__block_end(block, count);
    return rc < 0 ? (int)rc : shared->runs == (int64_t)count ? 0 : -EPROTO;
}

static int tasks(kt_bench_pool *pool, bool until_it_began, const kt_bench_request *request, int64_t *samples,
                 kt_bench_block *block)
{
    kt_bench_request warm_up = kt__warm_up(request);
    int rc = time_tasks(pool, until_it_began, &warm_up, NULL, &(kt_bench_block){.count = 0});
    return rc < 0 ? rc : time_tasks(pool, until_it_began, request, samples, block);
}

int kt_bench_pool_run(int32_t suite, kt_bench_pool *pool, const kt_bench_request *request, int64_t *samples,
                      kt_bench_block *block)
{
    kt_bench_clock_overhead(); /* measured before the block begins */
    *block = (kt_bench_block){.count = 0};
    switch (suite) {
    case KT_BENCH_REGION:
        return regions(pool, request, samples, block);
    case KT_BENCH_SUBMIT:
    case KT_BENCH_TASK:
        return tasks(pool, suite == KT_BENCH_SUBMIT, request, samples, block);
    default:
        return -EINVAL;
    }
}
