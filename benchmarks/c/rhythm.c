/* Loops that follow each other with a rhythm, or without one, in one peer of the bench: how long a loop takes
 * from its call to its end, and the CPU time of the process (benchmarks/rhythm.py).
 *
 *     rhythm PEER GAP_NS SPREAD LOOPS WORK_NS
 *
 * Two threads work WORK_NS each in a loop. Between two loops the caller sleeps for GAP_NS, more or less by an
 * evenly distributed part of at most SPREAD. Then the process idles for as long as the loops took. Writes
 * JSON. */
#define _GNU_SOURCE
#include "bench/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

enum { WARM_UP = 100 };

static uint64_t turns;

static void work(void *argument, uint32_t number)
{
    (void)argument;
    (void)number;
    kt__work(turns);
}

static void sleep_until(int64_t time)
{
    struct timespec until = {.tv_sec = time / 1000000000, .tv_nsec = time % 1000000000};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) != 0) {
    }
}

static int64_t cpu_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t switches(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_nvcsw;
}

static int64_t gap_of(int64_t gap_ns, double spread)
{
    return (int64_t)((double)gap_ns * (1 + spread * (2 * drand48() - 1)));
}

static void run(struct kt_bench_pool *pool, int64_t gap_ns, double spread, size_t count, int64_t *samples)
{
    for (size_t i = 0; i < count; i++) {
        sleep_until(kt__now() + gap_of(gap_ns, spread));
        int64_t begin = kt__now();
        if (pool->peer->region(pool, work, NULL) < 0) {
            fprintf(stderr, "rhythm: a loop failed\n");
            exit(1);
        }
        samples[i] = kt__now() - begin;
    }
}

static int compare(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static double mean(const int64_t *samples, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)samples[i];
    }
    return sum / (double)count;
}

static size_t peer_named(const char *name)
{
    size_t peer = 0;
    while (peer < kt_bench_pools() && strcmp(kt_bench_pool_name(peer), name) != 0) {
        peer++;
    }
    return peer;
}

int main(int argc, char **argv)
{
    if (argc != 6) {
        fprintf(stderr, "rhythm PEER GAP_NS SPREAD LOOPS WORK_NS\n");
        return 2;
    }
    int64_t gap_ns = atoll(argv[2]), work_ns = atoll(argv[5]);
    double spread = atof(argv[3]);
    size_t count = (size_t)atoll(argv[4]);
    int64_t *samples = calloc(count + WARM_UP, sizeof *samples);
    kt_bench_pool *pool;
    const char *missing = kt_bench_pool_missing(peer_named(argv[1]));
    if (missing || !samples || kt_bench_pool_open(&pool, peer_named(argv[1]), 2, 200000) < 0) {
        printf("{\"missing\": \"%s\"}\n", missing ? missing : "it cannot be opened");
        return 0;
    }
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* so that gaps have the requested length */
    turns = kt__work_turns(work_ns);
    int64_t alone = kt__work_takes(turns);
    run(pool, gap_ns, spread, WARM_UP, samples);

    int64_t begin = kt__now(), cpu = cpu_ns();
    run(pool, gap_ns, spread, count, samples);
    int64_t wall = kt__now() - begin, burnt = cpu_ns() - cpu;

    sleep_until(kt__now() + 20 * gap_ns);
    int64_t idle_cpu = cpu_ns(), idle_switches = switches();
    sleep_until(kt__now() + wall);
    idle_cpu = cpu_ns() - idle_cpu;
    idle_switches = switches() - idle_switches - 1; /* less the caller's own */

    qsort(samples, count, sizeof *samples, compare);
    printf("{\"work\": %lld, \"median\": %lld, \"mean\": %.0f, \"p95\": %lld, \"cpu\": %.5f, \"idle_cpu\": "
           "%.6f, "
           "\"idle_switches\": %lld}\n",
           (long long)alone, (long long)samples[count / 2], mean(samples, count),
           (long long)samples[count * 95 / 100], (double)burnt / (double)wall,
           (double)idle_cpu / (double)wall, (long long)idle_switches);
    kt_bench_pool_close(pool);
    free(samples);
    return 0;
}
