/* The open region (pool.h): the shares of a loop, and the gate by which workers enter and leave. */
#define _GNU_SOURCE
#include "pool/loop.h"
#include "pool/queue.h"
#include "pool/rhythm.h"

#include "base/spin.h"

#include <errno.h>
#include <pthread.h>

enum {
    /* A wake-up costs the waker 5 us, and the woken worker begins 10 to 40 us later. For a loop with less
     * work than LITTLE_WORK_NS that does not pay. A loop that was estimated below that, but takes longer, is
     * shared after WAKE_AFTER_NS. */
    LITTLE_WORK_NS = 30000,
    WAKE_AFTER_NS = 10000,
    TINY_WORK_NS = 2000,  /* twice the cost of sharing a loop with a worker that spins */
    UNIT_LEAST_NS = 1000, /* twenty times the cost of taking a unit */
};

/* The memory orders are relaxed: a share holds only numbers of units, and the opening of the gate has
 * published all that they refer to. A word that has changed and changed back refers to the
 * same units, which no thread has run. */
static uint64_t share(uint64_t begin, uint64_t end)
{
    return end << 32 | begin;
}

static bool take_first(_Atomic(uint64_t) *from, uint64_t *unit)
{
    uint64_t old = atomic_load_explicit(from, memory_order_relaxed);
    while ((uint32_t)old < old >> 32) {
        if (atomic_compare_exchange_weak_explicit(from, &old, old + 1, memory_order_relaxed,
                                                  memory_order_relaxed)) {
            *unit = (uint32_t)old;
            return true;
        }
    }
    return false;
}

/* Takes the last half of another worker's share: its first unit to run now, the others into `own`. `own` is
 * empty, so no other thread changes it. */
static bool steal(_Atomic(uint64_t) *from, _Atomic(uint64_t) *own, uint64_t *unit)
{
    uint64_t old = atomic_load_explicit(from, memory_order_relaxed);
    while ((uint32_t)old < old >> 32) {
        uint64_t begin = (uint32_t)old, end = old >> 32;
        uint64_t middle = begin + (end - begin) / 2;
        if (atomic_compare_exchange_weak_explicit(from, &old, share(begin, middle), memory_order_relaxed,
                                                  memory_order_relaxed)) {
            atomic_store_explicit(own, share(middle + 1, end), memory_order_relaxed);
            *unit = middle;
            return true;
        }
    }
    return false;
}

static bool next_unit(const struct kt__member *member, uint64_t *unit)
{
    struct kt_pool *pool = member->pool;
    struct kt__worker *self = &pool->worker[member->number];
    if (kt__loop_stopped(member->loop)) {
        return false;
    }
    if (take_first(&self->share, unit)) {
        return true;
    }
    /* When the gate is closed no other worker was let into the loop, or one has already found no work. Then
     * this thread does not touch the others' cache lines. */
    if (!(atomic_load_explicit(&pool->gate, memory_order_relaxed) & KT_GATE_OPEN)) {
        return false;
    }
    for (uint32_t i = 1; i < pool->members; i++) {
        struct kt__worker *other = &pool->worker[(member->number + i) % pool->members];
        if (steal(&other->share, &self->share, unit)) {
            kt__count(&self->counters.steals);
            return true;
        }
    }
    return false;
}

static uint64_t run_next(struct kt__member *member, uint64_t unit)
{
    kt__count(&member->pool->worker[member->number].counters.chunks);
    return kt__run_unit(member, unit);
}

#define ONE_ENTERS (((uint64_t)1 << KT_GATE_ENTERED_SHIFT) + 1)

static bool may_enter(uint64_t gate, const struct kt__worker *worker)
{
    return gate & KT_GATE_OPEN && worker->number < (gate >> KT_GATE_LIMIT_SHIFT & 0xffff) && !worker->unfit;
}

bool kt__loop_is_open(const struct kt__worker *worker)
{
    return may_enter(atomic_load(&worker->pool->gate), worker);
}

static bool enter_gate(struct kt__worker *worker)
{
    _Atomic(uint64_t) *gate = &worker->pool->gate;
    uint64_t old = atomic_load_explicit(gate, memory_order_relaxed);
    while (may_enter(old, worker)) {
        /* Acquire: this worker sees the loop as it was when the gate was opened. */
        if (atomic_compare_exchange_weak_explicit(gate, &old, old + ONE_ENTERS, memory_order_acquire,
                                                  memory_order_relaxed)) {
            return true;
        }
    }
    return false;
}

/* Leaves the loop, and closes its gate: there is no work left for another worker. */
static void leave_and_close_gate(struct kt__worker *worker)
{
    struct kt_pool *pool = worker->pool;
    uint64_t old = atomic_load_explicit(&pool->gate, memory_order_relaxed);
    /* Release: the caller sees what was done. Sequentially consistent, as the caller's store to
     * `caller_sleeps` and its load of the gate are: either this thread sees that the caller sleeps, or the
     * caller sees that this worker has left. */
    while (!atomic_compare_exchange_weak(&pool->gate, &old, (old & ~KT_GATE_OPEN) - 1)) {
    }
    if ((old & KT_GATE_INSIDE) == 1 && atomic_load(&pool->caller_sleeps)) {
        atomic_store(&pool->caller_sleeps, 0);
        kt__futex_wake(&pool->caller_sleeps, 1, KT_FUTEX_PRIVATE);
    }
}

bool kt__loop_enter(struct kt__worker *worker)
{
    struct kt_pool *pool = worker->pool;
    uint64_t unit, generation = worker->generation;
    if (!enter_gate(worker)) {
        return false;
    }
    if (atomic_load_explicit(&pool->waking, memory_order_relaxed)) {
        kt__wake(pool, 1, pool->members - 1, 2);
    }
    if (kt__tasks_wait(pool)) { /* a submitter may have counted on this worker to take them */
        kt__wake(pool, 1, pool->workers, 1);
    }
    struct kt__member member = kt__member_of(pool, pool->loop, worker->number);
    kt__count(&worker->counters.regions);
    worker->missed = 0;
    while (next_unit(&member, &unit)) {
        run_next(&member, unit);
    }
    /* In a forked child the gate does not count this worker. */
    if (generation == pool->generation) {
        leave_and_close_gate(worker);
    }
    return true;
}

bool kt__gate_try_lock(struct kt_pool *pool)
{
    uint32_t free = 0;
    /* Acquire: this caller sees the last caller's estimate, and that the last region has ended. */
    return atomic_compare_exchange_strong_explicit(&pool->busy, &free, 1, memory_order_acquire,
                                                   memory_order_relaxed);
}

int kt__gate_lock(struct kt_pool *pool, int64_t timeout_ns)
{
    kt__deadline deadline = kt__deadline_after(timeout_ns);
    if (kt__gate_try_lock(pool)) {
        return 0;
    }
    while (atomic_exchange_explicit(&pool->busy, 2, memory_order_acquire) != 0) {
        int rc = kt__futex_wait(&pool->busy, 2, KT_FUTEX_PRIVATE, deadline);
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

void kt__gate_unlock(struct kt_pool *pool)
{
    atomic_store_explicit(&pool->caller, 0, memory_order_relaxed);
    if (atomic_exchange_explicit(&pool->busy, 0, memory_order_release) == 2) {
        kt__futex_wake(&pool->busy, 1, KT_FUTEX_PRIVATE);
    }
}

static void wake_members(struct kt_pool *pool)
{
    atomic_store_explicit(&pool->waking, 1, memory_order_relaxed);
    kt__wake(pool, 1, pool->members - 1, 2);
}

/* How long one thread alone would take for this loop, estimated from the loop's last run; negative when the
 * last loop was another one. */
static int64_t estimated_work_ns(const struct kt_pool *pool, const struct kt_loop *loop)
{
    bool same = pool->last_function == loop->call.function && pool->last_count == loop->count;
    return same ? pool->last_work_ns : -1;
}

/* Enlarges the units when the caller has not set a grain and the estimate shows that a unit takes less than
 * UNIT_LEAST_NS. */
static void enlarge_units(const struct kt_pool *pool, struct kt_loop *loop, uint32_t members)
{
    int64_t estimate = estimated_work_ns(pool, loop);
    if (loop->grain == 0 && estimate >= 0) {
        uint64_t most = loop->count / members;
        uint64_t worth = (uint64_t)((double)loop->count * UNIT_LEAST_NS / (double)(estimate + 1));
        worth = worth < most ? worth : most;
        loop->unit = worth > loop->unit ? worth : loop->unit;
    }
}

/* Whether a loop has too little work for more than its caller. */
static bool is_tiny(const struct kt_pool *pool, const struct kt_loop *loop)
{
    int64_t estimate = estimated_work_ns(pool, loop);
    return estimate >= 0 && estimate < TINY_WORK_NS;
}

/* The workers that help with a loop as it begins. */
enum helpers { NO_HELPERS, AWAKE_HELPERS, ONE_MORE_HELPER, ALL_HELPERS };

static enum helpers helpers_for(struct kt_pool *pool, const struct kt_loop *loop, uint32_t members)
{
    int64_t estimate = estimated_work_ns(pool, loop);
    if (estimate < 0 || estimate >= LITTLE_WORK_NS) {
        return ALL_HELPERS;
    }
    if (is_tiny(pool, loop)) {
        return NO_HELPERS;
    }
    uint32_t awake = members - 1 - kt__asleep(pool, members - 1); /* they spin, or run tasks */
    uint32_t useful = (members < pool->cpus ? members : pool->cpus) - 1;
    /* Loops that follow each other closely: it pays to have a spinning worker for the next one. */
    bool close = pool->begun_at - pool->ended_at < pool->spin_ns;
    if (kt__rhythm_recruits(pool, awake < useful) || (awake < useful && close)) {
        return ONE_MORE_HELPER;
    }
    return awake ? AWAKE_HELPERS : NO_HELPERS;
}

/* Divides the loop into shares for all members and opens the gate. Without helpers the caller gets
 * everything, and opens the gate later if the loop takes longer. */
static void distribute(struct kt_pool *pool, uint64_t units, uint32_t members, enum helpers helpers)
{
    uint64_t limit = (uint64_t)members << KT_GATE_LIMIT_SHIFT;
    if (helpers == NO_HELPERS) {
        atomic_store_explicit(&pool->worker[0].share, share(0, units), memory_order_relaxed);
        atomic_store(&pool->gate, limit);
        return;
    }
    for (uint32_t i = 0; i < members; i++) {
        atomic_store_explicit(&pool->worker[i].share, share(units * i / members, units * (i + 1) / members),
                              memory_order_relaxed);
    }
    kt__note_client(pool, true);
    kt__publish(&pool->gate, KT_GATE_OPEN | limit);
}

void kt__region_open(struct kt_pool *pool, struct kt_loop *loop, uint32_t members)
{
    pool->trace_begin = kt__trace_begin(pool);
    pool->begun_at = kt__now();
    pool->caller_items = 0;
    pool->loop = loop;
    pool->members = members;
    atomic_store_explicit(&pool->caller, (uintptr_t)pthread_self(), memory_order_relaxed);
    atomic_store_explicit(&pool->waking, 0, memory_order_relaxed);
    enlarge_units(pool, loop, members);
    kt__rhythm_note(pool, !is_tiny(pool, loop));
    enum helpers helpers = helpers_for(pool, loop, members);
    distribute(pool, kt__loop_units(loop), members, helpers);
    kt__count(&pool->worker[0].counters.regions);
    if (helpers == ALL_HELPERS) {
        wake_members(pool);
    } else if (helpers == ONE_MORE_HELPER) {
        kt__wake(pool, 1, members - 1, 1);
    }
}

static uint32_t inside(const struct kt_pool *pool)
{
    return atomic_load(&pool->gate) & KT_GATE_INSIDE; /* acquires what the workers that left have done */
}

/* Spins while the other workers finish their last chunks. That pays unless they wait for this CPU. */
static void spin_for_others(struct kt_pool *pool)
{
    struct kt__spin spin = {.budget_ns = pool->members <= pool->cpus ? pool->spin_ns : 0};
    while (inside(pool) && kt__spin(&spin)) {
    }
}

static int wait_for_others(struct kt_pool *pool, kt__deadline deadline)
{
    spin_for_others(pool);
    while (inside(pool)) {
        kt__publish(&pool->caller_sleeps, 1);
        if (!inside(pool)) {
            break;
        }
        int rc = kt__futex_wait(&pool->caller_sleeps, 1, KT_FUTEX_PRIVATE, deadline);
        if (rc < 0) {
            return -ETIMEDOUT; /* also after a signal: the caller calls again */
        }
    }
    if (atomic_load_explicit(&pool->caller_sleeps, memory_order_relaxed)) {
        atomic_store_explicit(&pool->caller_sleeps, 0, memory_order_relaxed);
    }
    return 0;
}

/* The number of items that no thread has taken. */
static uint64_t items_left(const struct kt_pool *pool, const struct kt_loop *loop)
{
    uint64_t items = 0;
    for (uint32_t i = 0; i < pool->members; i++) {
        uint64_t left = atomic_load_explicit(&pool->worker[i].share, memory_order_relaxed);
        uint64_t begin = (uint32_t)left * loop->unit, end = (left >> 32) * loop->unit;
        end = end < loop->count ? end : loop->count; /* the last unit may be smaller */
        items += begin < end ? end - begin : 0;
    }
    return items;
}

/* Records for the next loop how long one thread alone would have taken. The caller has run `own` of the
 * items. */
static void record_estimate(struct kt_pool *pool, const struct kt_loop *loop, uint64_t own)
{
    pool->ended_at = kt__now();
    pool->last_function = own ? loop->call.function : NULL;
    pool->last_count = loop->count;
    pool->last_work_ns =
        own ? (int64_t)((double)(pool->ended_at - pool->begun_at) * (double)loop->count / (double)own) : 0;
}

static int close_region(struct kt_pool *pool, struct kt_loop *loop)
{
    loop->done = loop->count;
    if (kt__loop_stopped(loop)) { /* a stopped worker has run each unit that it took */
        uint64_t not_done = items_left(pool, loop) + loop->undone;
        loop->done -= not_done < loop->count ? not_done : loop->count;
        for (uint32_t i = 0; i < pool->members; i++) { /* between two loops all shares are empty */
            atomic_store_explicit(&pool->worker[i].share, 0, memory_order_relaxed);
        }
    }
    uint64_t gate = atomic_load_explicit(&pool->gate, memory_order_relaxed);
    loop->took_part = 1 + (uint32_t)(gate >> KT_GATE_ENTERED_SHIFT);
    record_estimate(pool, loop, pool->caller_items);
    kt__trace_end(pool, pool->trace_begin, KT_EVENT_LOOP, 0, loop->begin, loop->end);
    kt__gate_unlock(pool);
    return kt__loop_result(loop);
}

/* In a loop that began without helpers: wakes them when it takes longer than estimated and has work left. */
static void wake_late(struct kt_pool *pool, int64_t now)
{
    if (now - pool->begun_at > WAKE_AFTER_NS && items_left(pool, pool->loop) > 0) {
        atomic_fetch_or(&pool->gate, KT_GATE_OPEN);
        wake_members(pool);
    }
}

int kt__region_run(struct kt_pool *pool, struct kt_loop *loop, kt__deadline deadline)
{
    struct kt__member member = kt__member_of(pool, loop, 0);
    uint64_t unit;
    while (next_unit(&member, &unit)) {
        pool->caller_items += run_next(&member, unit);
        bool woken =
            atomic_load_explicit(&pool->waking, memory_order_relaxed) || inside(pool) == pool->members - 1;
        if (woken && deadline < 0) {
            continue;
        }
        int64_t now = kt__now();
        if (!woken) {
            wake_late(pool, now);
        }
        if (deadline >= 0 && now >= deadline) {
            return -ETIMEDOUT;
        }
    }
    if (atomic_load_explicit(&pool->gate, memory_order_relaxed) & KT_GATE_OPEN) {
        atomic_fetch_and(&pool->gate, ~KT_GATE_OPEN);
    }
    int rc = wait_for_others(pool, deadline);
    return rc < 0 ? rc : close_region(pool, loop);
}
