/* pthreadpool, the pool of XNNPACK and PyTorch. */
#define _GNU_SOURCE
#include "bench/peer.h"

#include <errno.h>

static struct {
    void *(*create)(size_t);
    void (*parallelize_1d)(void *, void (*)(void *, size_t), void *, size_t, uint32_t);
    void (*destroy)(void *);
} library;

static const char *missing(void)
{
    static const char *const names[] = {"pthreadpool_create", "pthreadpool_parallelize_1d",
                                        "pthreadpool_destroy", NULL};
    return kt__library("libpthreadpool.so.0", names, (void **)&library);
}

static int open_pool(struct kt_bench_pool *pool, int64_t spin_ns)
{
    (void)spin_ns;
    pool->state = library.create(pool->threads);
    return pool->state ? 0 : -ENOMEM;
}

static kt__body *body;

static void run(void *argument, size_t number)
{
    body(argument, (uint32_t)number);
}

static int region(struct kt_bench_pool *pool, kt__body *each, void *argument)
{
    body = each;
    library.parallelize_1d(pool->state, run, argument, pool->threads, 0);
    return 0;
}

static void close_pool(struct kt_bench_pool *pool)
{
    library.destroy(pool->state);
}

const struct kt__peer kt__peer_pthreadpool = {"pthreadpool", missing, open_pool, region,
                                              NULL,          NULL,    close_pool};
