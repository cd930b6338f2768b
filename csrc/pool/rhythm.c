/* Loops with a rhythm. The caller of loops predicts the next one, and workers that sleep wake up ahead of it.
 * All is a guess, and a wrong one costs time and nothing else: so all accesses are relaxed, and no thread
 * minds that `due` and `period` are of two loops. */
#define _GNU_SOURCE
#include "pool/rhythm.h"

enum {
    /* A loop on time adds one to `steady`, one out of time takes three: three in four have to be on time, and
     * one out of time does not end a rhythm. */
    STEADY_MOST = 8,
    STEADY_FROM = 5,
    OUT_OF_TIME = 3,
    PERIOD_MOST_NS = 100000000,
    TOLERANCE_MOST_NS = 1000000,
    /* A wake-up costs the caller 5 to 10 us, so it wakes a worker for the rhythm when the fourth loop in a
     * row has no help, and then for every sixteenth. */
    RECRUIT_AFTER = 4,
    RECRUIT_EVERY = 16,
    MISSED_MOST = 4, /* expected loops that a worker wakes up for in vain, one after the other */
    /* Steps of `ahead_ns`: a worker that is late takes five up, one that is not takes one down. They balance
     * when it is late for one loop in six. To be late less often costs more than it gains. */
    AHEAD_STEPS = 128,
    LATE_STEPS = 5,
};

static int64_t clamp(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/* How far from the expected time a loop still is on time. It limits the time that a worker waits awake. */
static int64_t tolerance(int64_t period)
{
    return clamp(period / 10, 0, TOLERANCE_MOST_NS);
}

static bool is_steady(const struct kt__rhythm *rhythm)
{
    return rhythm->steady >= STEADY_FROM;
}

/* Returns the expected time to the next loop, after one that came `after_ns` after the one before it. */
static int64_t expect_next(struct kt__rhythm *rhythm, int64_t after_ns)
{
    int64_t period = atomic_load_explicit(&rhythm->period, memory_order_relaxed);
    int64_t error = after_ns - period, most = tolerance(period);
    if (clamp(error, -most, most) == error && after_ns <= PERIOD_MOST_NS) {
        rhythm->steady += rhythm->steady < STEADY_MOST;
        return period + error / 8;
    }
    rhythm->steady -= rhythm->steady < OUT_OF_TIME ? rhythm->steady : OUT_OF_TIME;
    return rhythm->steady ? period : after_ns;
}

void kt__rhythm_note(struct kt_pool *pool, bool helpers_pay)
{
    struct kt__rhythm *rhythm = &pool->rhythm;
    if (pool->spin_ns == 0 || pool->cpus < 2) { /* no worker may spin */
        return;
    }
    /* Loops that workers meet while they spin belong together: only the first of them has to be expected. */
    if (pool->begun_at - pool->ended_at < pool->spin_ns) {
        return;
    }
    int64_t period = expect_next(rhythm, pool->begun_at - rhythm->begun_at);
    int64_t due = helpers_pay && is_steady(rhythm) ? pool->begun_at + period : 0;
    rhythm->begun_at = pool->begun_at;
    atomic_store_explicit(&rhythm->period, period, memory_order_relaxed);
    atomic_store_explicit(&rhythm->due, due, memory_order_relaxed);
}

void kt__rhythm_forget(struct kt_pool *pool)
{
    pool->rhythm.steady = 0;
    atomic_store_explicit(&pool->rhythm.due, 0, memory_order_relaxed);
}

bool kt__rhythm_recruits(struct kt_pool *pool, bool alone)
{
    struct kt__rhythm *rhythm = &pool->rhythm;
    rhythm->alone = alone && is_steady(rhythm) ? rhythm->alone + 1 : 0;
    return rhythm->alone % RECRUIT_EVERY == RECRUIT_AFTER;
}

struct kt__expected kt__rhythm_expect(struct kt__worker *worker)
{
    struct kt__rhythm *rhythm = &worker->pool->rhythm;
    struct kt__expected expected = {.due = atomic_load_explicit(&rhythm->due, memory_order_relaxed)};
    int64_t period = atomic_load_explicit(&rhythm->period, memory_order_relaxed);
    if (!expected.due || !period || worker->missed == MISSED_MOST) {
        return (struct kt__expected){0};
    }
    int64_t most = tolerance(period), earliest = kt__now() + most;
    worker->ahead_ns = worker->ahead_ns ? clamp(worker->ahead_ns, 1, 2 * most) : most;
    expected.wake_at = expected.due - worker->ahead_ns;
    /* Where the worker has waited for the loop in vain, the rhythm may go on after a pause. */
    int64_t beats = expected.wake_at < earliest ? (earliest - expected.wake_at) / period + 1 : 0;
    if (beats > MISSED_MOST) {
        return (struct kt__expected){0};
    }
    expected.due += beats * period;
    expected.wake_at += beats * period;
    expected.until = expected.due + most;
    worker->missed++;
    return expected;
}

bool kt__rhythm_continues(struct kt__worker *worker, const struct kt__expected *expected, bool woke_ahead)
{
    int64_t due = atomic_load_explicit(&worker->pool->rhythm.due, memory_order_relaxed);
    int64_t step = (expected->until - expected->due) / AHEAD_STEPS;
    if (due > expected->due) {
        worker->ahead_ns += LATE_STEPS * step;
    } else if (woke_ahead) {
        worker->ahead_ns -= step;
    }
    worker->missed = woke_ahead ? worker->missed : 0;
    return woke_ahead && due && due <= expected->due;
}
