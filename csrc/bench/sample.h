/* Helpers of all suites: the clock, the usage of a block, the work. */
#ifndef KT_BENCH_SAMPLE_H
#define KT_BENCH_SAMPLE_H

#include "base/futex.h"

#include <kthreads/kthreads.h>

#include "bench/bench.h"

#include <stdbool.h>

/* Begins a block: records the usage so far. */
void kt__block_begin(kt_bench_block *block);

/* Ends a block of `count` samples: computes its usage. */
void kt__block_end(kt_bench_block *block, size_t count);

/* Returns whether one more sample may be taken after `count` of them. Waits for the gap before all but the
 * first. */
bool kt__block_continues(const kt_bench_block *block, const kt_bench_request *request, size_t count);

/* The request to run right before a block of a pool, whose threads may have gone to sleep since the last
 * one. */
kt_bench_request kt__warm_up(const kt_bench_request *request);

/* Returns how many turns of kt__work take `ns` on an idle CPU. Measured once. */
uint64_t kt__work_turns(int64_t ns);
void kt__work(uint64_t turns);

/* How long kt__work takes at present for so many turns: the median of some runs. */
int64_t kt__work_takes(uint64_t turns);

#endif
