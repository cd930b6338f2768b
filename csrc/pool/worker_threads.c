/* The threads of a pool's workers, which are started when they are needed. */
#define _GNU_SOURCE
#include "pool/pool.h"

#include "base/mutex.h"
#include "thread/thread.h"

#include <stdio.h>

bool kt__worker_has_thread(const struct kt__worker *worker)
{
    return worker->thread && !worker->left && worker->generation == worker->pool->generation;
}

struct kt__worker *kt__worker_prepare(struct kt_pool *pool, uint32_t number)
{
    struct kt__worker *worker = &pool->worker[number];
    worker->pool = pool;
    worker->number = number;
    worker->generation = pool->generation;
    worker->left = false;
    worker->unfit = false;
    worker->unnotified = NULL;
    worker->spin_ns = pool->spin_ns;
    worker->missed = 0;
    return worker;
}

/* In this order: a child forked in between must not free the handle again. */
void kt__worker_free_thread(struct kt__worker *worker)
{
    struct kt_thread *thread = worker->thread;
    worker->thread = NULL;
    kt_thread_free(thread);
}

static int start_worker(struct kt_pool *pool, uint32_t number)
{
    struct kt__worker *worker = &pool->worker[number];
    if (worker->thread) {
        /* The old thread is about to end, and uses the worker until then; or it does not exist in this forked
         * child. */
        while (worker->generation == pool->generation && kt_thread_wait(worker->thread, -1, NULL) == -EINTR) {
        }
        kt__worker_free_thread(worker);
    }
    kt__worker_prepare(pool, number);
    kt_spec spec = pool->thread;
    char name[32];
    if (pool->name[0]) {
        snprintf(name, sizeof name, "%.10s-%u", pool->name, number);
        spec.name = name;
    }
    kt_call call = {.function = (kt_function)(uintptr_t)kt__worker_main,
                    .integers = {(uint64_t)(uintptr_t)worker}};
    int rc = kt_thread_start(&worker->thread, &spec, &call);
    if (rc < 0) {
        worker->thread = NULL;
    }
    return rc;
}

int kt__pool_start_workers(struct kt_pool *pool, uint32_t threads)
{
    int rc = 0;
    if (pool->options & KT_POOL_LENT) {
        return 0;
    }
    /* The first probe of libc may wait for the loader. A constructor that holds the loader's lock may be
     * about to use this pool, so this does not happen under the mutex. The start of the thread returns the
     * probe's result. */
    (void)kt__ready();
    kt__mutex_lock(&pool->changing);
    if (threads > pool->workers) { /* the caller may have read the number before a resize */
        threads = pool->workers;
    }
    for (uint32_t number = 1; number <= threads && !pool->quiescing && rc == 0; number++) {
        if (!kt__worker_has_thread(&pool->worker[number])) {
            rc = start_worker(pool, number);
        }
    }
    if (rc == 0 && !pool->quiescing && threads > pool->started) {
        atomic_store_explicit(&pool->started, threads, memory_order_relaxed);
    }
    kt__mutex_unlock(&pool->changing);
    return rc;
}
