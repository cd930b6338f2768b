/* A loop, as those who run it see it. */
#ifndef KT_LOOP_H
#define KT_LOOP_H

#include "pool/pool.h"

enum { KT_PHASE_NEW = 0, KT_PHASE_SHARED, KT_PHASE_ALONE }; /* in `phase` of a loop */
enum { KT_STOP_ASKED = 1, KT_STOP_FAILED };                 /* in `stop` of a loop */

/* One worker's part in a loop. */
struct kt__part {
    struct kt_pool *pool;
    struct kt_loop *loop;
    uint32_t number;
    kt_call call;
};

/* ---- loop.c ------------------------------------------------------------------------------------------- */

bool kt__loop_stopped(struct kt_loop *loop);
/* a / b, rounded up. */
static inline uint64_t kt__divide_up(uint64_t a, uint64_t b)
{
    return a / b + (a % b != 0);
}

uint64_t kt__loop_units(const struct kt_loop *loop);

/* What kt_pool_run returns for a loop that has ended. */
int kt__loop_result(struct kt_loop *loop);

struct kt__part kt__part_of(struct kt_pool *pool, struct kt_loop *loop, uint32_t number);

/* Runs a unit and returns its items, unless the body says that it failed. */
uint64_t kt__part_run(struct kt__part *part, uint64_t unit);

/* ---- region.c ----------------------------------------------------------------------------------------- */

/* The gate, for a caller that ends the threads. -ETIMEDOUT, -EINTR. */
int kt__gate_take(struct kt_pool *pool, int64_t timeout_ns);
void kt__gate_give(struct kt_pool *pool);

/* Whether there is a loop that this worker may enter. */
bool kt__loop_is_open(const struct kt__worker *worker);

/* Runs chunks of the open loop. False when there is none. */
bool kt__loop_join(struct kt__worker *worker);

/* The gate, if it is free. */
bool kt__gate_try(struct kt_pool *pool);

/* Opens the gate, which is taken, to workers below `members`. */
void kt__region_open(struct kt_pool *pool, struct kt_loop *loop, uint32_t members);

/* The caller's part, until the loop has ended, or -ETIMEDOUT. Gives the gate back. */
int kt__region_run(struct kt_pool *pool, struct kt_loop *loop, kt__deadline deadline);

#endif
