/* A parallel loop, for the threads that run it. */
#ifndef KT_LOOP_H
#define KT_LOOP_H

#include "pool/pool.h"

enum { KT_PHASE_NEW = 0, KT_PHASE_SHARED, KT_PHASE_ALONE }; /* values of a loop's `phase` */
enum { KT_STOP_ASKED = 1, KT_STOP_FAILED };                 /* values of a loop's `stop` */

/* A worker that runs chunks of a loop, with its copy of the call. */
struct kt__member {
    struct kt_pool *pool;
    struct kt_loop *loop;
    uint32_t number;
    kt_call call;
};

/* loop.c */

bool kt__loop_stopped(struct kt_loop *loop);
/* a / b, rounded up. */
static inline uint64_t kt__divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

uint64_t kt__loop_units(const struct kt_loop *loop);

/* Returns what kt_pool_run returns for a loop that has ended. */
int kt__loop_result(struct kt_loop *loop);

struct kt__member kt__member_of(struct kt_pool *pool, struct kt_loop *loop, uint32_t number);

/* Runs a unit. Returns its number of items, or 0 when the body reports a failure. */
uint64_t kt__run_unit(struct kt__member *member, uint64_t unit);

/* region.c */

/* Lock the gate, for a caller that ends the threads: -ETIMEDOUT or -EINTR on failure. Unlock it. */
int kt__gate_lock(struct kt_pool *pool, int64_t timeout_ns);
void kt__gate_unlock(struct kt_pool *pool);

/* Whether a loop is open that this worker may enter. */
bool kt__loop_is_open(const struct kt__worker *worker);

/* Runs chunks of the open loop. Returns false when none is open. */
bool kt__loop_enter(struct kt__worker *worker);

/* Locks the gate if it is free. */
bool kt__gate_try_lock(struct kt_pool *pool);

/* Opens the locked gate to workers with numbers below `members`. */
void kt__region_open(struct kt_pool *pool, struct kt_loop *loop, uint32_t members);

/* Runs chunks on the caller's thread until the loop has ended, and unlocks the gate. Returns -ETIMEDOUT at
 * the deadline; the gate stays locked. */
int kt__region_run(struct kt_pool *pool, struct kt_loop *loop, kt__deadline deadline);

#endif
