/* Helpers of the tests of pools. */
#ifndef KT_POOL_TEST_H
#define KT_POOL_TEST_H

#include "test.h"

#include <errno.h>

static inline kt_pool *new_pool(uint32_t workers, int backend, uint32_t queue_size)
{
    kt_spec thread = spec_for(backend);
    kt_pool_spec spec = {.workers = workers,
                         .cpus = 2,
                         .spin_ns = 50000,
                         .queue_size = queue_size,
                         .name = "test",
                         .thread = &thread};
    kt_pool *pool = NULL;
    CHECK(kt_pool_new(&pool, &spec) == 0);
    return pool;
}

static inline void end(kt_pool *pool)
{
    int rc;
    while ((rc = kt_pool_quiesce(pool, -1)) == -EINTR) {
    }
    CHECK(rc == 0);
    kt_pool_free(pool);
}

static inline kt_loop loop_over(kt_function body, int64_t count)
{
    return (kt_loop){.call = {.function = body, .kind = KT_RESULT_INTEGER},
                     .end = count,
                     .step = 1,
                     .count = (uint64_t)count};
}

static inline int run(kt_pool *pool, kt_loop *loop)
{
    int rc;
    while ((rc = kt_pool_run(pool, loop, -1)) == -ETIMEDOUT) {
    }
    return rc;
}

static inline uint64_t add(uint64_t a, uint64_t b)
{
    return a + b;
}

#endif
