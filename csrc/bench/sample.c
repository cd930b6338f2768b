#define _GNU_SOURCE
#include "bench/sample.h"

#include "cpu.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

enum { READINGS = 1001, SLEEP_FROM_NS = 100000, WARM_UP_NS = 2000000 };

const char *kt_bench_compiler(void)
{
#ifdef __clang__
    return "clang " __clang_version__ ", " KT_BENCH_FLAGS;
#else
    return "gcc " __VERSION__ ", " KT_BENCH_FLAGS;
#endif
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int64_t median(int64_t *values, size_t count)
{
    qsort(values, count, sizeof *values, compare);
    return values[count / 2];
}

int64_t kt_bench_clock_overhead(void)
{
    static _Atomic(int64_t) found = -1;
    if (atomic_load(&found) < 0) {
        int64_t readings[READINGS];
        for (size_t i = 0; i < READINGS; i++) {
            int64_t begin = kt__now();
            readings[i] = kt__now() - begin;
        }
        atomic_store(&found, median(readings, READINGS));
    }
    return atomic_load(&found);
}

static int64_t ns_of(const struct timeval *time)
{
    return (int64_t)time->tv_sec * 1000000000 + (int64_t)time->tv_usec * 1000;
}

static int64_t process_cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Adds the present usage times `sign`: -1 at the begin of a block, 1 at its end. */
static void add_usage(kt_bench_block *block, int64_t sign)
{
    struct rusage own, children;
    getrusage(RUSAGE_SELF, &own);
    getrusage(RUSAGE_CHILDREN, &children);
    block->wall_ns += sign * kt__now();
    block->cpu_ns += sign * (process_cpu_ns() + ns_of(&children.ru_utime) + ns_of(&children.ru_stime));
    block->faults += sign * (own.ru_minflt + children.ru_minflt);
    block->switches += sign * (own.ru_nvcsw + children.ru_nvcsw);
    block->preemptions += sign * (own.ru_nivcsw + children.ru_nivcsw);
}

void kt__block_begin(kt_bench_block *block)
{
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* so that gaps have the requested length */
    add_usage(block, -1);
}

void kt__block_end(kt_bench_block *block, size_t count)
{
    add_usage(block, 1);
    block->count = count;
}

static void wait_for(int64_t ns)
{
    if (ns >= SLEEP_FROM_NS) {
        struct timespec gap = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
        while (nanosleep(&gap, &gap) != 0) {
        }
    } else if (ns > 0) {
        for (int64_t end = kt__now() + ns; kt__now() < end;) {
            kt__pause();
        }
    }
}

bool kt__block_continues(const kt_bench_block *block, const kt_bench_request *request, size_t count)
{
    /* Until the end of the block, wall_ns is minus the time of its begin. */
    if (count >= request->count || (count > 0 && kt__now() + block->wall_ns >= request->budget_ns)) {
        return false;
    }
    if (count > 0) {
        wait_for(request->gap_ns);
    }
    return true;
}

kt_bench_request kt__warm_up(const kt_bench_request *request)
{
    kt_bench_request warm_up = *request;
    warm_up.count = SIZE_MAX;
    warm_up.budget_ns = WARM_UP_NS;
    return warm_up;
}

void kt_bench_settle(int64_t limit_ns)
{
    enum { STEP_NS = 5000000 };
    int64_t end = kt__now() + limit_ns, before = process_cpu_ns();
    do {
        wait_for(STEP_NS);
        int64_t now = process_cpu_ns();
        if (now - before < STEP_NS / 20) {
            break;
        }
        before = now;
    } while (kt__now() < end);
}

void kt__work(uint64_t turns)
{
    uint64_t x = turns;
    for (uint64_t i = 0; i < turns; i++) {
        x = x * 6364136223846793005U + 1442695040888963407U; /* Knuth's MMIX generator */
        __asm__ volatile("" : "+r"(x));
    }
}

uint64_t kt__work_turns(int64_t ns)
{
    enum { TURNS = 100000, TRIES = 9 };
    static _Atomic(int64_t) takes; /* ns for TURNS turns */
    if (atomic_load(&takes) == 0) {
        int64_t best = INT64_MAX;
        for (int i = 0; i < TRIES; i++) {
            int64_t begin = kt__now();
            kt__work(TURNS);
            int64_t taken = kt__now() - begin;
            best = taken < best ? taken : best;
        }
        atomic_store(&takes, best > 0 ? best : 1);
    }
    return ns <= 0 ? 0 : (uint64_t)(ns * TURNS / atomic_load(&takes));
}

int64_t kt__work_takes(uint64_t turns)
{
    enum { TRIES = 21 };
    int64_t takes[TRIES];
    for (size_t i = 0; i < TRIES; i++) {
        int64_t begin = kt__now();
        kt__work(turns);
        takes[i] = kt__now() - begin - kt_bench_clock_overhead();
    }
    return turns == 0 ? 0 : median(takes, TRIES);
}

int64_t kt_bench_work_takes(int64_t ns)
{
    return kt__work_takes(kt__work_turns(ns));
}

enum { SEEN_MAX = 256 };

static _Atomic(uintptr_t) seen[SEEN_MAX];

static void record_caller(uintptr_t who)
{
    for (size_t i = 0; i < SEEN_MAX; i++) {
        uintptr_t there = atomic_load_explicit(&seen[i], memory_order_relaxed);
        if (there == who ||
            (there == 0 && (atomic_compare_exchange_strong(&seen[i], &there, who) || there == who))) {
            return;
        }
    }
}

void kt_bench_work(int64_t begin, int64_t end, int64_t ns)
{
    record_caller((uintptr_t)pthread_self());
    for (int64_t i = begin; i < end; i++) {
        kt__work(kt__work_turns(ns));
    }
}

size_t kt_bench_workers_seen(void)
{
    size_t count = 0;
    for (size_t i = 0; i < SEEN_MAX; i++) {
        count += atomic_exchange(&seen[i], 0) != 0;
    }
    return count;
}

void kt_bench_empty(void)
{
}
