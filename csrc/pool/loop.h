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
uint64_t kt__loop_units(const struct kt_loop *loop);

/* What kt_pool_run returns for a loop that has ended. */
int kt__loop_result(struct kt_loop *loop);

struct kt__part kt__part_of(struct kt_pool *pool, struct kt_loop *loop, uint32_t number);

/* Runs a unit and returns its items, unless the body says that it failed. */
uint64_t kt__part_run(struct kt__part *part, uint64_t unit);

/* ---- region.c ----------------------------------------------------------------------------------------- */

/* The gate, if it is free. */
bool kt__gate_try(struct kt_pool *pool);

/* Opens the gate, which is taken, to workers below `members`. */
void kt__region_open(struct kt_pool *pool, struct kt_loop *loop, uint32_t members);

/* The caller's part, until the loop has ended, or -ETIMEDOUT. Gives the gate back. */
int kt__region_run(struct kt_pool *pool, struct kt_loop *loop, kt__deadline deadline);

#endif
