/* Workers between pieces of work: they spin for a while that experience sets, then sleep. */
#define _GNU_SOURCE
#include "pool/loop.h"
#include "pool/queue.h"
#include "pool/task.h"

#include "base/mutex.h"
#include "base/spin.h"
#include "base/syscall.h"

#include <stdlib.h>

enum {
    SPIN_LEAST_NS = 2000, /* less than this is not worth the trouble */
    BETWEEN_STEPS_NS = 1000000,
};

/* Sequentially consistent loads in what this calls: the second half of the handshake in pool.h. */
static bool there_is_work(const struct kt__worker *worker)
{
    return kt__loop_is_open(worker) || kt__tasks_wait(worker->pool) || atomic_load(&worker->pool->leaving);
}

/* Moves the calling thread to another CPU, if it may run on any other. */
static bool leave_cpu(int cpu)
{
    uint64_t mask[128]; /* 8192 CPUs, the most that the kernel can be built for */
    long size = kt__syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
    if (size < 0) {
        return false;
    }
    mask[cpu / 64] &= ~((uint64_t)1 << cpu % 64);
    bool left = kt__syscall(SYS_sched_setaffinity, 0, size, mask) == 0; /* not where no CPU is left */
    mask[cpu / 64] |= (uint64_t)1 << cpu % 64;
    return left && kt__syscall(SYS_sched_setaffinity, 0, size, mask) == 0;
}

/* Whether it is, or can be, on another CPU than who brings work: to spin there would keep it from bringing
 * more. The scheduler may wake a worker where its waker runs though another CPU idles, and has no reason to
 * move one that sleeps most of the time (SIS_UTIL, kernel/sched/fair.c). A loop is done by its caller
 * meanwhile, and worth the move; a task could wait for the worker's turn on a busy CPU. */
static bool is_apart_from_client(struct kt__worker *worker)
{
    struct kt_pool *pool = worker->pool;
    int cpu = sched_getcpu();
    if (cpu != atomic_load_explicit(&pool->client_cpu, memory_order_relaxed)) {
        return true;
    }
    if (!atomic_load_explicit(&pool->client_brought_loop, memory_order_relaxed)) {
        return false;
    }
    int64_t now = kt__now();
    if (now - worker->stepped_aside_at < BETWEEN_STEPS_NS) {
        return false;
    }
    worker->stepped_aside_at = now;
    return leave_cpu(cpu);
}

static bool may_spin(struct kt__worker *worker)
{
    struct kt_pool *pool = worker->pool;
    if (worker->spin_ns < SPIN_LEAST_NS || pool->cpus < 2 || !is_apart_from_client(worker)) {
        return false;
    }
    /* The caller has a CPU of its own. With more spinners than CPUs they keep each other from work. */
    if (atomic_fetch_add(&pool->spinning, 1) + 1 < pool->cpus) {
        return true;
    }
    atomic_fetch_sub(&pool->spinning, 1);
    return false;
}

static bool spin_for_work(struct kt__worker *worker)
{
    struct kt_pool *pool = worker->pool;
    struct kt__spin spin = {.budget_ns = worker->spin_ns};
    bool found;
    while (!(found = there_is_work(worker)) && kt__spin(&spin)) {
    }
    /* Before parking: a publisher that counts on a spinner is one whose work the park then sees. */
    atomic_fetch_sub(&pool->spinning, 1);
    if (found) {
        kt__count(&worker->counters.spins);
        worker->spin_ns = 2 * worker->spin_ns < pool->spin_ns ? 2 * worker->spin_ns : pool->spin_ns;
    } else {
        worker->spin_ns /= 2;
    }
    return found;
}

static void park(struct kt__worker *worker)
{
    struct kt_pool *pool = worker->pool;
    _Atomic(uint64_t) *word = &pool->sleepers[worker->number / 64];
    uint64_t bit = (uint64_t)1 << worker->number % 64;
    atomic_store_explicit(&worker->signal, 0,
                          memory_order_relaxed); /* nobody signals while the bit is clear */
    atomic_fetch_or(word, bit);
    if (there_is_work(worker) && atomic_fetch_and(word, ~bit) & bit) {
        return;
    }
    kt__count(&worker->counters.parks);
    int64_t since = kt__now();
    while (atomic_load_explicit(&worker->signal, memory_order_acquire) == 0) {
        kt__futex_wait(&worker->signal, 0, KT_FUTEX_PRIVATE, -1);
    }
    /* Work that came as soon as this would have been met by spinning. */
    if (kt__now() - since < pool->spin_ns) {
        worker->spin_ns = pool->spin_ns;
    }
}

/* Whether a worker that is told to leave must. */
static bool leaves(struct kt__worker *worker)
{
    struct kt_pool *pool = worker->pool;
    kt__mutex_lock(&pool->changing); /* whoever calls it off does so under the same mutex */
    worker->left = pool->leaving;
    bool left = worker->left;
    kt__mutex_unlock(&pool->changing);
    return left;
}

/* False, too, in a child that this thread has forked: the pool's threads there are others, and one of them
 * may have its place. */
static bool stays(struct kt__worker *worker, uint64_t generation)
{
    return generation == worker->pool->generation &&
           !(atomic_load(&worker->pool->leaving) && !kt__tasks_wait(worker->pool) && leaves(worker));
}

static void begin_work(struct kt__worker *worker)
{
    if (!worker->pool->initializer.function) {
        return;
    }
    kt_call initializer = worker->pool->initializer;
    kt_call_run(&initializer);
    if (initializer.kind == KT_RESULT_INTEGER && (int32_t)initializer.result != 0) {
        worker->unfit = true; /* it stays all the same, to bring back the tasks that wait */
        kt__break(worker->pool);
    }
}

static void end_work(struct kt__worker *worker)
{
    kt__notify_completions(worker);
    if (worker->pool->finalizer.function) {
        kt_call finalizer = worker->pool->finalizer;
        kt_call_run(&finalizer);
    }
}

void kt__worker_main(struct kt__worker *worker)
{
    uint64_t generation = worker->generation; /* its own: in a forked child its place may be another's */
    begin_work(worker);
    while (stays(worker, generation)) {
        if (kt__loop_join(worker) || kt__task_run_next(worker)) {
            continue;
        }
        if (!(may_spin(worker) && spin_for_work(worker))) {
            kt__notify_completions(worker);
            park(worker);
        }
    }
    if (generation != worker->pool->generation && !(worker->pool->options & KT_POOL_LENT)) {
        /* It has forked, and this is the child, in which it was the only thread. Where it is the last one
         * libc ends the process thus (start_thread); threads of pools do not hold it up. */
        exit(0);
    }
    if (generation == worker->pool->generation) {
        end_work(worker);
    }
}
