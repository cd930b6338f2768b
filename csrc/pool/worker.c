/* A worker thread: it takes work, spins for an adaptive time when there is none, and then sleeps. */
#define _GNU_SOURCE
#include "pool/loop.h"
#include "pool/queue.h"
#include "pool/rhythm.h"
#include "pool/task.h"

#include "base/mutex.h"
#include "base/spin.h"
#include "base/syscall.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/prctl.h>

enum {
    SPIN_LEAST_NS = 2000, /* a smaller budget is not worth spinning for */
    MOVE_INTERVAL_NS = 1000000,
};

/* All loads here are sequentially consistent: they are the worker's half of the handshake in pool.h. */
static bool has_work(const struct kt__worker *worker)
{
    return kt__loop_is_open(worker) || kt__tasks_wait(worker->pool) || atomic_load(&worker->pool->leaving);
}

static _Atomic(uint64_t) *sleepers_of(const struct kt__worker *worker)
{
    return &worker->pool->sleepers[worker->number / 64];
}

static uint64_t bit_of(const struct kt__worker *worker)
{
    return (uint64_t)1 << worker->number % 64;
}

/* False when a waker has the worker's bit, and is about to signal. */
static bool take_bit_back(struct kt__worker *worker)
{
    return atomic_fetch_and(sleepers_of(worker), ~bit_of(worker)) & bit_of(worker);
}

/* Moves the calling thread to another CPU, if it may run on any other. */
static bool move_off_cpu(int cpu)
{
    uint64_t mask[128]; /* 8192 CPUs, the most that a kernel supports */
    long size = kt__syscall(SYS_sched_getaffinity, 0, sizeof mask, mask);
    if (size < 0) {
        return false;
    }
    mask[cpu / 64] &= ~((uint64_t)1 << cpu % 64);
    bool left = kt__syscall(SYS_sched_setaffinity, 0, size, mask) == 0; /* fails where no other CPU is left */
    mask[cpu / 64] |= (uint64_t)1 << cpu % 64;
    return left && kt__syscall(SYS_sched_setaffinity, 0, size, mask) == 0;
}

/* Whether the worker is, or could be moved, on another CPU than the thread that published work last. A worker
 * that spins on that CPU delays the next piece of work. The scheduler may wake a worker on its waker's CPU
 * though another CPU is idle, and has no reason to move a worker that sleeps most of the time (SIS_UTIL,
 * kernel/sched/fair.c). For a loop the move pays, as the caller runs the loop meanwhile. A task would have to
 * wait if the worker moved to a busy CPU. */
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
    if (now - worker->moved_at < MOVE_INTERVAL_NS) {
        return false;
    }
    worker->moved_at = now;
    return move_off_cpu(cpu);
}

/* Counts the worker as a spinner, if it may be one. */
static bool begin_spin(struct kt__worker *worker)
{
    struct kt_pool *pool = worker->pool;
    if (pool->cpus < 2 || !is_apart_from_client(worker)) {
        return false;
    }
    /* One CPU is left to the caller. More spinners than the other CPUs would delay each other's work. */
    if (atomic_fetch_add(&pool->spinning, 1) + 1 < pool->cpus) {
        return true;
    }
    atomic_fetch_sub(&pool->spinning, 1);
    return false;
}

static bool spin(struct kt__worker *worker, int64_t budget_ns)
{
    struct kt__spin spin = {.budget_ns = budget_ns};
    bool found;
    while (!(found = has_work(worker)) && kt__spin(&spin)) {
    }
    /* This precedes the check for work in park(): when a publisher has seen this spinner and woken no worker,
     * its work was published before, so park() sees it. */
    atomic_fetch_sub(&worker->pool->spinning, 1);
    if (found) {
        kt__count(&worker->counters.spins);
    }
    return found;
}

static bool spin_for_work(struct kt__worker *worker)
{
    int64_t most = worker->pool->spin_ns;
    if (worker->spin_ns < SPIN_LEAST_NS || !begin_spin(worker)) {
        return false;
    }
    bool found = spin(worker, worker->spin_ns);
    if (found) {
        worker->spin_ns = 2 * worker->spin_ns < most ? 2 * worker->spin_ns : most;
    } else {
        worker->spin_ns /= 2;
    }
    return found;
}

/* Sleeps until a waker has taken the worker's bit and signals; or until `wake_at`, and then takes the bit
 * back. Returns whether it did. */
static bool sleep_until(struct kt__worker *worker, kt__deadline wake_at)
{
    while (atomic_load_explicit(&worker->signal, memory_order_acquire) == 0) {
        if (kt__futex_wait(&worker->signal, 0, KT_FUTEX_PRIVATE, wake_at) == -ETIMEDOUT) {
            if (take_bit_back(worker)) {
                return true;
            }
            wake_at = -1; /* a waker has the bit: the worker waits for its signal */
        }
    }
    return false;
}

/* As sleep_until, by a precise timer. Unless told otherwise, the kernel makes a timer up to 50 us late, so
 * that it need not wake the CPU for each of several. What runs on the thread keeps the slack that it has set.
 */
static bool sleep_precisely(struct kt__worker *worker, kt__deadline wake_at)
{
    int slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
    if (slack > 1) { /* threads with a real-time policy have none */
        prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
    }
    bool woke_ahead = sleep_until(worker, wake_at);
    if (slack > 1) {
        prctl(PR_SET_TIMERSLACK, (unsigned long)slack, 0, 0, 0);
    }
    return woke_ahead;
}

/* Sleeps until the expected loop is about to begin, and waits for it awake. Work that comes earlier wakes the
 * worker. */
static void sleep_ahead(struct kt__worker *worker, const struct kt__expected *expected)
{
    bool woke_ahead = sleep_precisely(worker, expected->wake_at);
    if (kt__rhythm_continues(worker, expected, woke_ahead) && begin_spin(worker)) {
        spin(worker, expected->until - kt__now());
    }
}

static void park(struct kt__worker *worker)
{
    struct kt_pool *pool = worker->pool;
    struct kt__expected expected = kt__rhythm_expect(worker);
    /* Relaxed: no thread signals while the bit is clear. */
    atomic_store_explicit(&worker->signal, 0, memory_order_relaxed);
    atomic_fetch_or(sleepers_of(worker), bit_of(worker));
    if (has_work(worker) && take_bit_back(worker)) {
        return;
    }
    kt__count(&worker->counters.parks);
    if (expected.wake_at) {
        sleep_ahead(worker, &expected);
        return;
    }
    int64_t since = kt__now();
    sleep_until(worker, -1);
    worker->missed = 0;
    /* The work came so soon that spinning would have met it. */
    if (kt__now() - since < pool->spin_ns) {
        worker->spin_ns = pool->spin_ns;
    }
}

/* Decides, when `leaving` was seen, whether the worker leaves. The thread that clears `leaving` holds the
 * same mutex. */
static bool confirm_leaving(struct kt__worker *worker)
{
    struct kt_pool *pool = worker->pool;
    kt__mutex_lock(&pool->changing);
    worker->left = pool->leaving;
    bool left = worker->left;
    kt__mutex_unlock(&pool->changing);
    return left;
}

/* Also false in a child that this thread has forked: there the pool has other threads, and one of them may
 * run as this worker. */
static bool continues(struct kt__worker *worker, uint64_t generation)
{
    return generation == worker->pool->generation &&
           !(atomic_load(&worker->pool->leaving) && !kt__tasks_wait(worker->pool) && confirm_leaving(worker));
}

static void initialize(struct kt__worker *worker)
{
    if (!worker->pool->initializer.function) {
        return;
    }
    kt_call initializer = worker->pool->initializer;
    kt_call_run(&initializer);
    if (initializer.kind == KT_RESULT_INTEGER && (int32_t)initializer.result != 0) {
        worker->unfit = true; /* the worker continues, to return the queued tasks */
        kt__break(worker->pool);
    }
}

static void finalize(struct kt__worker *worker)
{
    kt__notify_completions(worker);
    if (worker->pool->finalizer.function) {
        kt_call finalizer = worker->pool->finalizer;
        kt_call_run(&finalizer);
    }
}

void kt__worker_main(struct kt__worker *worker)
{
    /* Read here: in a forked child another thread may run as this worker. */
    uint64_t generation = worker->generation;
    initialize(worker);
    while (continues(worker, generation)) {
        if (kt__loop_enter(worker) || kt__task_run_next(worker)) {
            continue;
        }
        if (!spin_for_work(worker)) {
            kt__notify_completions(worker);
            park(worker);
        }
    }
    if (generation != worker->pool->generation && !(worker->pool->options & KT_POOL_LENT)) {
        /* This is a child that a task or loop on this worker has forked, and this was its only thread at the
         * fork. libc exits a process with status 0 when its last thread ends (start_thread). The child exits
         * in the same way here, whatever threads of pools it has. */
        exit(0);
    }
    if (generation == worker->pool->generation) {
        finalize(worker);
    }
}
