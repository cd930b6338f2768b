/* A pool: its creation, its resizing and its end, and its reset in a forked child. */
#define _GNU_SOURCE
#include "pool/loop.h"
#include "pool/queue.h"
#include "pool/rhythm.h"
#include "pool/task.h"

#include "base/fork.h"
#include "base/mutex.h"
#include "thread/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static struct kt_pool *pools; /* list of all pools; guarded by the engine's lock */

/* Room for the largest number of workers, so that no worker ever moves. Pages that are not used cost
 * nothing. */
static const size_t workers_size = (KT_POOL_WORKERS_MAX + 1) * sizeof(struct kt__worker);

static void reset_pools(void);

static void add_to_pools(struct kt_pool *pool)
{
    kt__lock();
    kt__reset_in_child(KT_RESET_POOLS, reset_pools);
    pool->next = pools;
    if (pools) {
        pools->previous = pool;
    }
    pools = pool;
    kt__unlock();
}

static void remove_from_pools(struct kt_pool *pool)
{
    kt__lock();
    *(pool->previous ? &pool->previous->next : &pools) = pool->next;
    if (pool->next) {
        pool->next->previous = pool->previous;
    }
    kt__unlock();
}

static bool valid_workers(uint32_t workers)
{
    return workers >= 1 && workers <= KT_POOL_WORKERS_MAX;
}

/* Whether the spec is one for several threads, whose handles the pool uses. */
static bool serves_many(const kt_spec *thread)
{
    return !thread->stack && !thread->ident && !(thread->options & KT_OPTION_DETACHED);
}

static bool valid(const kt_pool_spec *spec)
{
    return valid_workers(spec->workers) && (!spec->thread || serves_many(spec->thread)) &&
           spec->spin_ns >= 0 && spec->queue_size >= 1 && spec->queue_size <= 1U << 30;
}

static struct kt_pool *allocate(const kt_pool_spec *spec)
{
    struct kt_pool *pool = aligned_alloc(KT_CACHE_LINE, sizeof *pool);
    if (!pool) {
        return NULL;
    }
    memset(pool, 0, sizeof *pool);
    void *workers =
        mmap(NULL, workers_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (workers == MAP_FAILED || !kt__queue_new(pool, spec->queue_size)) {
        if (workers != MAP_FAILED) {
            munmap(workers, workers_size);
        }
        free(pool);
        return NULL;
    }
    pool->worker = workers;
    return pool;
}

static void free_memory(struct kt_pool *pool)
{
    munmap(pool->worker, workers_size);
    free(pool->cells);
    free(pool);
}

int kt_pool_new(kt_pool **out, const kt_pool_spec *spec)
{
    if (!out || !spec || !valid(spec)) {
        return -EINVAL;
    }
    struct kt_pool *pool = allocate(spec);
    if (!pool) {
        return -ENOMEM;
    }
    pool->workers = spec->workers;
    pool->options = spec->options;
    pool->cpus = spec->cpus ? spec->cpus : 1;
    pool->spin_ns = spec->spin_ns;
    pool->thread = spec->thread ? *spec->thread : (kt_spec){.flags = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM};
    pool->thread.name = NULL;
    if (spec->initializer) {
        pool->initializer = *spec->initializer;
    }
    if (spec->finalizer) {
        pool->finalizer = *spec->finalizer;
    }
    if (spec->name) {
        strncpy(pool->name, spec->name, sizeof pool->name - 1);
    }
    add_to_pools(pool);
    *out = pool; /* stored before the threads run, as they may read it there */
    int rc = kt__pool_start_workers(pool, spec->workers - 1);
    if (rc < 0) {
        while (kt_pool_quiesce(pool, -1) == -EINTR) {
        }
        kt_pool_free(pool);
        *out = NULL;
    }
    return rc;
}

void kt_pool_free(kt_pool *pool)
{
    if (pool) {
        remove_from_pools(pool);
        kt__tasks_discard(pool); /* those that were queued after the last thread had left */
        free_memory(pool);
    }
}

void kt_pool_break(kt_pool *pool)
{
    kt__break(pool);
}

uint32_t kt_pool_workers(const kt_pool *pool)
{
    return atomic_load_explicit(&pool->workers, memory_order_relaxed);
}

static bool is_thread_of(struct kt_pool *pool)
{
    uintptr_t self = (uintptr_t)pthread_self();
    bool found = atomic_load_explicit(&pool->caller, memory_order_relaxed) == self;
    kt__mutex_lock(&pool->changing);
    for (uint32_t number = 1; number <= pool->workers && !found; number++) {
        struct kt__worker *worker = &pool->worker[number];
        found = kt__worker_has_thread(worker) && kt_thread_ident(worker->thread) == self;
    }
    kt__mutex_unlock(&pool->changing);
    return found;
}

static void set_leaving(struct kt_pool *pool, bool leaving)
{
    kt__mutex_lock(&pool->changing);
    atomic_store(&pool->leaving, leaving);
    pool->quiescing = leaving;
    kt__publish(&pool->started, 0); /* kt_pool_submit reads it after it has queued a task */
    kt__mutex_unlock(&pool->changing);
}

static int join_all(struct kt_pool *pool, kt__deadline deadline)
{
    for (uint32_t number = 1; number <= pool->workers; number++) {
        struct kt__worker *worker = &pool->worker[number];
        if (!worker->thread) {
            continue;
        }
        int64_t left = deadline < 0 ? -1 : deadline > kt__now() ? deadline - kt__now() : 0;
        int rc = worker->generation == pool->generation ? kt_thread_wait(worker->thread, left, NULL) : 0;
        if (rc < 0) {
            return rc;
        }
        kt__mutex_lock(&pool->changing);
        kt__worker_free_thread(worker);
        kt__mutex_unlock(&pool->changing);
    }
    return 0;
}

/* Lets the pool have threads again, and starts them: as many as requested, or all when tasks were submitted
 * while the last threads left. */
static int resume(struct kt_pool *pool, uint32_t threads)
{
    set_leaving(pool, false);
    kt__gate_unlock(pool);
    return kt__pool_start_workers(pool, kt__tasks_are_queued(pool) ? pool->workers : threads);
}

/* Ends the threads and keeps the gate locked until resume(). On failure the pool continues, and the error is
 * returned. */
static int end_threads(struct kt_pool *pool, int64_t timeout_ns)
{
    if (is_thread_of(pool)) {
        return -EDEADLK;
    }
    kt__deadline deadline = kt__deadline_after(timeout_ns);
    int rc = kt__gate_lock(pool, timeout_ns);
    if (rc < 0) {
        return rc;
    }
    set_leaving(pool, true);
    kt__wake(pool, 1, pool->workers, UINT32_MAX);
    rc = join_all(pool, deadline);
    if (rc < 0) {
        resume(pool, 0); /* Some threads have left. Where none can be started, the next caller that needs one
                            gets the error. */
    }
    return rc;
}

int kt_pool_quiesce(kt_pool *pool, int64_t timeout_ns)
{
    int rc = end_threads(pool, timeout_ns);
    return rc < 0 ? rc : resume(pool, 0);
}

int kt_pool_resize(kt_pool *pool, uint32_t workers, uint32_t cpus, int64_t timeout_ns)
{
    if (!valid_workers(workers)) {
        return -EINVAL;
    }
    int rc = end_threads(pool, timeout_ns);
    if (rc < 0) {
        return rc;
    }
    atomic_store(&pool->workers, workers);
    pool->cpus = cpus ? cpus : 1;
    return resume(pool, workers - 1);
}

int kt_pool_serve(kt_pool *pool, uint32_t number)
{
    if (!(pool->options & KT_POOL_LENT) || number < 1 || number > pool->workers) {
        return -EINVAL;
    }
    kt__worker_main(kt__worker_prepare(pool, number));
    return 0;
}

void kt_pool_close(kt_pool *pool)
{
    set_leaving(pool, true);
    kt__wake(pool, 1, pool->workers, UINT32_MAX);
}

static void reset_region(struct kt_pool *pool, uintptr_t self)
{
    atomic_store(&pool->caller_sleeps, 0);
    if (atomic_load(&pool->busy) && atomic_load(&pool->caller) == self) {
        /* The caller of a loop has forked within it, and continues the loop alone. Chunks that other workers
         * had in progress are lost: then the loop is stopped. */
        uint64_t lost = (atomic_load(&pool->gate) & KT_GATE_INSIDE) * pool->loop->unit;
        if (lost) {
            pool->loop->undone += lost;
            kt_loop_stop(pool->loop);
        }
        atomic_fetch_and(&pool->gate, ~KT_GATE_INSIDE);
        return;
    }
    if (atomic_load(&pool->gate) & KT_GATE_INSIDE && pool->loop) {
        kt_loop_stop(pool->loop); /* a worker has forked: it ends with its present chunk */
    }
    for (uint32_t i = 0; i < pool->workers; i++) { /* empty, as between two loops */
        atomic_store(&pool->worker[i].share, 0);
    }
    atomic_fetch_and(&pool->gate, ~(KT_GATE_INSIDE | KT_GATE_OPEN));
    atomic_store(&pool->caller, 0);
    atomic_store(&pool->busy, 0);
}

static void reset_pools(void)
{
    uintptr_t self = (uintptr_t)pthread_self();
    for (struct kt_pool *pool = pools; pool; pool = pool->next) {
        pool->generation++;
        pool->quiescing = false;
        atomic_store(&pool->changing, 0);
        atomic_store(&pool->started, 0);
        atomic_store(&pool->leaving, 0);
        atomic_store(&pool->spinning, 0);
        atomic_store(&pool->room_waiters, 0);
        atomic_store(&pool->tracing, 0);
        for (int word = 0; word < KT_SLEEPER_WORDS; word++) {
            atomic_store(&pool->sleepers[word], 0);
        }
        kt__rhythm_forget(pool);
        kt__queue_reset(pool);
        reset_region(pool, self);
    }
}

static int64_t cpu_time_of(const struct kt__worker *worker)
{
    int64_t ns;
    return kt__worker_has_thread(worker) && kt_thread_cpu_time(worker->thread, &ns) == 0 ? ns : -1;
}

size_t kt_pool_stats(kt_pool *pool, kt_worker_stats *stats, size_t count)
{
    kt__mutex_lock(&pool->changing);
    size_t places = pool->workers + 1;
    for (size_t i = 0; i < places && i < count; i++) {
        struct kt__worker *worker = &pool->worker[i];
        stats[i] = (kt_worker_stats){.regions = worker->counters.regions,
                                     .chunks = worker->counters.chunks,
                                     .steals = worker->counters.steals,
                                     .tasks = worker->counters.tasks,
                                     .parks = worker->counters.parks,
                                     .spins = worker->counters.spins,
                                     .cpu_ns = i > 0 ? cpu_time_of(worker) : -1};
    }
    kt__mutex_unlock(&pool->changing);
    return places;
}
