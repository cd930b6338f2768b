/* kt_pool_run: chooses the chunks of a loop, and runs it with the workers or on the calling thread alone. */
#define _GNU_SOURCE
#include "pool/loop.h"

#include <errno.h>

enum { CHUNKS_EACH = 16 }; /* for each worker, when the caller sets no grain */

/* Sets the unit of the loop. Returns the number of workers for which there are units. */
static uint32_t plan(const struct kt_pool *pool, struct kt_loop *loop)
{
    uint32_t workers = atomic_load_explicit(&pool->workers, memory_order_relaxed);
    if (loop->workers && loop->workers < workers) {
        workers = loop->workers;
    }
    uint64_t unit = loop->grain ? loop->grain : loop->count / ((uint64_t)workers * CHUNKS_EACH);
    if (loop->schedule == KT_SCHEDULE_STATIC && unit < kt__divide_up(loop->count, workers)) {
        unit = kt__divide_up(loop->count, workers);
    }
    uint64_t least = kt__divide_up(loop->count, UINT32_MAX); /* numbers of units have 32 bits (share) */
    loop->unit = unit < least ? least : unit;
    uint64_t units = kt__divide_up(loop->count, loop->unit);
    return units < workers ? (uint32_t)units : workers;
}

static int run_alone(struct kt_pool *pool, struct kt_loop *loop, kt__deadline deadline)
{
    struct kt__member member = kt__member_of(pool, loop, 0);
    struct kt__counters *counters = &pool->worker[0].counters;
    while (loop->next < kt__loop_units(loop) && !kt__loop_stopped(loop)) {
        loop->done += kt__run_unit(&member, loop->next++);
        kt__count(&counters->chunks);
        if (deadline >= 0 && kt__now() >= deadline) {
            return -ETIMEDOUT;
        }
    }
    return kt__loop_result(loop);
}

static int begin_loop(struct kt_pool *pool, struct kt_loop *loop)
{
    if (loop->stop) { /* workers read these: they are not written without need */
        loop->stop = 0;
        loop->undone = 0;
    }
    uint32_t members = loop->count ? plan(pool, loop) : 1;
    if (members == 1 || !kt__gate_try_lock(pool)) {
        loop->unit = loop->unit ? loop->unit : 1;
        loop->next = loop->done = 0;
        loop->took_part = 1;
        kt__count(&pool->worker[0].counters.regions);
        loop->phase = KT_PHASE_ALONE;
        return 0;
    }
    uint32_t workers = atomic_load_explicit(&pool->workers, memory_order_relaxed);
    members = members < workers ? members : workers; /* a resize may have reduced them meanwhile */
    if (atomic_load_explicit(&pool->started, memory_order_relaxed) + 1 < workers) {
        int rc = kt__pool_start_workers(pool, workers - 1);
        if (rc < 0) {
            kt__gate_unlock(pool);
            return rc;
        }
    }
    kt__region_open(pool, loop, members);
    loop->phase = KT_PHASE_SHARED;
    return 0;
}

static bool valid(const kt_loop *loop)
{
    return loop->call.function && loop->step != 0 && loop->schedule >= KT_SCHEDULE_DYNAMIC &&
           loop->schedule <= KT_SCHEDULE_STATIC && loop->phase >= KT_PHASE_NEW &&
           loop->phase <= KT_PHASE_ALONE;
}

int kt_pool_run(kt_pool *pool, kt_loop *loop, int64_t timeout_ns)
{
    if (!pool || !loop || !valid(loop)) {
        return -EINVAL;
    }
    kt__deadline deadline = kt__deadline_after(timeout_ns);
    if (loop->phase == KT_PHASE_NEW) {
        int rc = atomic_load_explicit(&pool->broken, memory_order_relaxed) ? -ENOTRECOVERABLE
                                                                           : begin_loop(pool, loop);
        if (rc < 0) {
            return rc;
        }
    }
    return loop->phase == KT_PHASE_SHARED ? kt__region_run(pool, loop, deadline)
                                          : run_alone(pool, loop, deadline);
}

enum { SIGNAL_CHECK_NS = 40000000 }; /* between checks for signals, which may arrive just before a wait */

/* Claims the loop for one caller at a time. In a forked child a claim from the parent is void: no thread
 * there runs the loop. */
static bool claim(const struct kt_pool *pool, struct kt_loop *loop)
{
    uint64_t mine = pool->generation + 1;
    uint64_t claimed = __atomic_load_n(&loop->claimed, __ATOMIC_RELAXED);
    /* Acquire: the last run has ended, and this thread sees what it wrote. */
    if (claimed == mine || !__atomic_compare_exchange_n(&loop->claimed, &claimed, mine, false,
                                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return false;
    }
    if (claimed) {
        loop->phase = KT_PHASE_NEW;
    }
    return true;
}

int kt_pool_run_to_end(kt_pool *pool, kt_loop *loop, int64_t timeout_ns, kt_interrupted interrupted,
                       kt_loop_failed failed)
{
    if (!pool || !loop) {
        return -EINVAL;
    }
    if (!claim(pool, loop)) {
        return -EBUSY;
    }
    kt__deadline deadline = kt__deadline_after(timeout_ns);
    int64_t slice = timeout_ns >= 0 && timeout_ns < SIGNAL_CHECK_NS ? timeout_ns : SIGNAL_CHECK_NS;
    int rc, stopped = 0;
    while ((rc = kt_pool_run(pool, loop, slice)) == -ETIMEDOUT) {
        int64_t left = deadline < 0 ? SIGNAL_CHECK_NS : deadline - kt__now();
        slice = left < SIGNAL_CHECK_NS ? left : SIGNAL_CHECK_NS;
        stopped = stopped ? stopped : interrupted && interrupted() ? -EINTR : left <= 0 ? -ETIMEDOUT : 0;
        if (stopped) {
            kt_loop_stop(loop);
            slice = -1;
        }
    }
    rc = stopped == -EINTR || (stopped && rc == -ECANCELED) ? stopped : rc;
    if (rc < 0 && failed) {
        failed(loop, rc);
    }
    __atomic_store_n(&loop->claimed, 0, __ATOMIC_RELEASE);
    return rc;
}
