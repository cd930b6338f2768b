/* What all suites share: the clock, the account of a block, the work. */
#ifndef KT_BENCH_SAMPLE_H
#define KT_BENCH_SAMPLE_H

#include "base/futex.h"

#include <kthreads/kthreads.h>

#include "bench/bench.h"

#include <stdbool.h>

/* Begins the account of a block. */
void kt__block_begin(kt_bench_block *block);

/* Ends it. */
void kt__block_end(kt_bench_block *block, size_t count);

/* Whether one more sample may be taken, `count` having been. Waits for the gap before all but the first. */
bool kt__block_goes_on(const kt_bench_block *block, const kt_bench_request *request, size_t count);

/* What to run right before a block of a pool: its threads may have gone to sleep since the last one. */
kt_bench_request kt__warm_up(const kt_bench_request *request);

/* How many turns of kt__work take so long on an idle CPU. Found once. */
uint64_t kt__work_turns(int64_t ns);
void kt__work(uint64_t turns);

/* How long kt__work of so many turns takes just now: the median of some. */
int64_t kt__work_takes(uint64_t turns);

#endif
