/* Parallel loops: what is run in which chunks, and by whom. */
#define _GNU_SOURCE
#include "pool/loop.h"

#include <errno.h>

enum { CHUNKS_EACH = 16 }; /* of a worker, when nobody says how large they are to be */

/* ---- Stopping -------------------------------------------------------------------------------------- */

static kt__word *stop_of(struct kt_loop *loop)
{
    return (kt__word *)&loop->stop;
}

void kt_loop_stop(kt_loop *loop)
{
    uint32_t none = 0;
    atomic_compare_exchange_strong(stop_of(loop), &none, KT_STOP_ASKED);
}

void kt_cancel(int32_t *cancel)
{
    __atomic_store_n(cancel, 1, __ATOMIC_RELAXED); /* nothing else is told by it */
}

bool kt__loop_stopped(struct kt_loop *loop)
{
    if (loop->cancel && __atomic_load_n(loop->cancel, __ATOMIC_RELAXED) != 0) {
        kt_loop_stop(loop);
    }
    return atomic_load_explicit(stop_of(loop), memory_order_relaxed) != 0;
}

/* ---- Units: what is handed out ------------------------------------------------------------------------- */

static uint64_t divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

/* Sets the unit, and returns how many workers there are units for. */
static uint32_t plan(const struct kt_pool *pool, struct kt_loop *loop)
{
    uint32_t workers = atomic_load_explicit(&pool->workers, memory_order_relaxed);
    if (loop->workers && loop->workers < workers) {
        workers = loop->workers;
    }
    uint64_t unit = loop->grain ? loop->grain : loop->count / ((uint64_t)workers * CHUNKS_EACH);
    if (loop->schedule == KT_SCHEDULE_STATIC && unit < divide_up(loop->count, workers)) {
        unit = divide_up(loop->count, workers);
    }
    uint64_t least = divide_up(loop->count, UINT32_MAX); /* half a share's word counts so many */
    loop->unit = unit < least ? least : unit;
    uint64_t units = divide_up(loop->count, loop->unit);
    return units < workers ? (uint32_t)units : workers;
}

uint64_t kt__loop_units(const struct kt_loop *loop)
{
    return divide_up(loop->count, loop->unit);
}

/* ---- A chunk --------------------------------------------------------------------------------------- */

struct kt__part kt__part_of(struct kt_pool *pool, struct kt_loop *loop, uint32_t number)
{
    struct kt__part part = {.pool = pool, .loop = loop, .number = number, .call = loop->call};
    for (int i = 2; i < KT_INTEGER_ARGUMENTS; i++) {
        part.call.integers[i] += (uint64_t)loop->strides[i] * number;
    }
    return part;
}

static void fail(struct kt_loop *loop, const kt_call *call)
{
    if (atomic_exchange(stop_of(loop), KT_STOP_FAILED) != KT_STOP_FAILED) {
        loop->failed_begin = (int64_t)call->integers[0];
        loop->failed_end = (int64_t)call->integers[1];
        loop->failed_result = call->result;
        loop->failed_errno = call->error;
    }
}

uint64_t kt__part_run(struct kt__part *part, uint64_t unit)
{
    struct kt_loop *loop = part->loop;
    uint64_t first = unit * loop->unit;
    uint64_t items = loop->count - first < loop->unit ? loop->count - first : loop->unit;
    kt_call *call = &part->call;
    /* Unsigned, as the range of an unsigned type may be. */
    call->integers[0] = (uint64_t)loop->begin + first * (uint64_t)loop->step;
    call->integers[1] = first + items == loop->count
                            ? (uint64_t)loop->end
                            : (uint64_t)loop->begin + (first + items) * (uint64_t)loop->step;
    int64_t begin = kt__trace_begin(part->pool);
    kt_call_run(call);
    kt__trace_end(part->pool, begin, KT_EVENT_CHUNK, part->number, (int64_t)call->integers[0],
                  (int64_t)call->integers[1]);
    if (call->result & loop->failure) {
        fail(loop, call);
        __atomic_fetch_add(&loop->undone, items, __ATOMIC_RELAXED);
        return 0;
    }
    return items;
}

/* ---- Without others -------------------------------------------------------------------------------- */

int kt__loop_result(struct kt_loop *loop)
{
    loop->phase = KT_PHASE_NEW;
    return atomic_load(stop_of(loop)) == KT_STOP_FAILED ? -EIO : loop->done < loop->count ? -ECANCELED : 0;
}

static int run_alone(struct kt_pool *pool, struct kt_loop *loop, kt__deadline deadline)
{
    struct kt__part part = kt__part_of(pool, loop, 0);
    struct kt__counters *counters = &pool->worker[0].counters;
    while (loop->next < kt__loop_units(loop) && !kt__loop_stopped(loop)) {
        loop->done += kt__part_run(&part, loop->next++);
        kt__count(&counters->chunks);
        if (deadline >= 0 && kt__now() >= deadline) {
            return -ETIMEDOUT;
        }
    }
    return kt__loop_result(loop);
}

/* ---- A loop ---------------------------------------------------------------------------------------- */

static int begin_loop(struct kt_pool *pool, struct kt_loop *loop)
{
    if (loop->stop) { /* what workers read is not written without need */
        loop->stop = 0;
        loop->undone = 0;
    }
    uint32_t members = loop->count ? plan(pool, loop) : 1;
    if (members == 1 || !kt__gate_try(pool)) {
        loop->unit = loop->unit ? loop->unit : 1;
        loop->next = loop->done = 0;
        loop->took_part = 1;
        kt__count(&pool->worker[0].counters.regions);
        loop->phase = KT_PHASE_ALONE;
        return 0;
    }
    uint32_t workers = atomic_load_explicit(&pool->workers, memory_order_relaxed);
    members = members < workers ? members : workers; /* they may have become fewer meanwhile */
    if (atomic_load_explicit(&pool->staff, memory_order_relaxed) + 1 < workers) {
        int rc = kt__pool_staff(pool, workers - 1);
        if (rc < 0) {
            kt__gate_give(pool);
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

/* ---- From its beginning to its end ------------------------------------------------------------------- */

enum { LOOK_AFTER_NS = 40000000 }; /* at signals: one that comes just before a wait does not interrupt it */

/* One caller at a time. In a forked child a claim of its parent's is void: nobody there runs the loop. */
static bool claim(const struct kt_pool *pool, struct kt_loop *loop)
{
    uint64_t mine = pool->generation + 1;
    uint64_t claimed = __atomic_load_n(&loop->claimed, __ATOMIC_RELAXED);
    /* Acquire: the last run is over, and what it wrote is seen. */
    if (claimed == mine || !__atomic_compare_exchange_n(&loop->claimed, &claimed, mine, false,
                                                        __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        return false;
    }
    if (claimed) {
        loop->phase = KT_PHASE_NEW;
    }
    return true;
}

int kt_pool_run_to_end(kt_pool *pool, kt_loop *loop, int64_t timeout_ns, kt_interrupted interrupted)
{
    if (!pool || !loop) {
        return -EINVAL;
    }
    if (!claim(pool, loop)) {
        return -EBUSY;
    }
    kt__deadline deadline = kt__deadline_after(timeout_ns);
    int64_t slice = timeout_ns >= 0 && timeout_ns < LOOK_AFTER_NS ? timeout_ns : LOOK_AFTER_NS;
    int rc, stopped = 0;
    while ((rc = kt_pool_run(pool, loop, slice)) == -ETIMEDOUT) {
        int64_t left = deadline < 0 ? LOOK_AFTER_NS : deadline - kt__now();
        slice = left < LOOK_AFTER_NS ? left : LOOK_AFTER_NS;
        stopped = stopped ? stopped : interrupted && interrupted() ? -EINTR : left <= 0 ? -ETIMEDOUT : 0;
        if (stopped) {
            kt_loop_stop(loop);
            slice = -1;
        }
    }
    __atomic_store_n(&loop->claimed, 0, __ATOMIC_RELEASE);
    return stopped == -EINTR || (stopped && rc == -ECANCELED) ? stopped : rc;
}
