/* The rhythm of a pool's loops: when the next one is expected. */
#ifndef KT_RHYTHM_H
#define KT_RHYTHM_H

#include "pool/pool.h"

/* Records that a loop begins, at pool->begun_at. `helpers_pay`: it has enough work for more than its caller.
 * The caller holds the gate. */
void kt__rhythm_note(struct kt_pool *pool, bool helpers_pay);

/* Forgets the rhythm, in a forked child. */
void kt__rhythm_forget(struct kt_pool *pool);

/* Whether this loop is to wake one more worker, which then follows the rhythm. `alone`: there are fewer
 * helpers than useful. The caller holds the gate. */
bool kt__rhythm_recruits(struct kt_pool *pool, bool alone);

/* What a worker expects that is about to sleep. */
struct kt__expected {
    kt__deadline due;     /* when the next loop begins */
    kt__deadline wake_at; /* when to wake up for it; 0: not at all */
    kt__deadline until;   /* how long to wait for it, awake */
};

struct kt__expected kt__rhythm_expect(struct kt__worker *worker);

/* Whether the expected loop is still to come, once the worker has slept: until `wake_at`, or until it was
 * woken. Adapts the worker's `ahead_ns`. */
bool kt__rhythm_continues(struct kt__worker *worker, const struct kt__expected *expected, bool woke_ahead);

#endif
