/* The suites of single threads: creating, joining, and switching between them. */
#define _GNU_SOURCE
#include "bench/maker.h"
#include "bench/probe.h"
#include "bench/sample.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

static void stamp(void *argument)
{
    struct kt__probe *shared = argument;
    shared->began = kt__now();
    kt__empty(shared);
}

static void wait_and_stamp(void *argument)
{
    enum { JOINER_SLEEPS_AFTER_NS = 100000 };
    struct kt__probe *shared = argument;
    static kt__word never;
    kt__await(&shared->go, 1);
    kt__futex_wait(&never, 0, KT_FUTEX_PRIVATE, kt__deadline_after(JOINER_SLEEPS_AFTER_NS));
    kt__empty(shared);
    shared->ended = kt__now();
}

static void answer(void *argument)
{
    struct kt__probe *shared = argument;
    for (uint32_t turn = 1;; turn++) {
        kt__await(&shared->ping, turn);
        if (atomic_load(&shared->stop)) {
            break;
        }
        kt__set(&shared->pong, turn);
    }
    kt__empty(shared);
}

static int64_t create(const struct kt__maker *maker, struct kt__probe *shared)
{
    struct kt__made made = {.function = stamp, .argument = shared};
    int64_t begin = kt__now();
    int rc = maker->start(&made);
    rc = rc == 0 ? maker->join(&made) : rc;
    return rc < 0 ? rc : shared->began - begin;
}

static int64_t join(const struct kt__maker *maker, struct kt__probe *shared)
{
    struct kt__made made = {.function = wait_and_stamp, .argument = shared};
    kt__set(&shared->go, 0);
    int rc = maker->start(&made);
    if (rc < 0) {
        return rc;
    }
    kt__set(&shared->go, 1);
    rc = maker->join(&made);
    return rc < 0 ? rc : kt__now() - shared->ended;
}

typedef int64_t sampler(const struct kt__maker *maker, struct kt__probe *shared);

static int64_t one_by_one(sampler *sample, const struct kt__maker *maker, const kt_bench_request *request,
                          int64_t *samples, kt_bench_block *block)
{
    size_t count = 0;
    while (kt__block_continues(block, request, count)) {
        int64_t ns = sample(maker, kt__probe());
        if (ns < 0) {
            return ns;
        }
        samples[count++] = ns - kt_bench_clock_overhead();
    }
    kt__block_end(block, count);
    return maker->runs_nothing ? 0 : (int64_t)count;
}

static void await_runs(struct kt__probe *shared, int64_t runs)
{
    while (atomic_load(&shared->runs) < runs) {
        sched_yield();
    }
}

static int64_t detach(const struct kt__maker *maker, const kt_bench_request *request, int64_t *samples,
                      kt_bench_block *block)
{
    struct kt__probe *shared = kt__probe();
    int64_t runs = 0, burst = request->threads ? request->threads : 1;
    struct kt__made *made = calloc((size_t)burst, sizeof *made);
    size_t count = 0;
    int rc = made ? 0 : -ENOMEM;
    while (rc == 0 && kt__block_continues(block, request, count)) {
        int64_t begin = kt__now(), i = 0;
        for (; i < burst && rc == 0; i++) {
            made[i] = (struct kt__made){.function = kt__empty, .argument = shared};
            rc = maker->start(&made[i]);
            rc = rc == 0 ? maker->detach(&made[i]) : rc;
        }
        runs += rc == 0 ? i : i - 1;
        await_runs(shared, runs); /* also after a failure: the threads read `made` */
        samples[count++] = (kt__now() - begin - kt_bench_clock_overhead()) / burst;
    }
    kt__block_end(block, count);
    free(made);
    return rc < 0 ? rc : runs;
}

static int64_t round_trip(const struct kt__maker *maker, const kt_bench_request *request, int64_t *samples,
                          kt_bench_block *block)
{
    struct kt__probe *shared = kt__probe();
    struct kt__made made = {.function = answer, .argument = shared};
    shared->ping = shared->pong = shared->stop = 0;
    int rc = maker->start(&made);
    if (rc < 0) {
        return rc;
    }
    size_t count = 0;
    while (kt__block_continues(block, request, count)) {
        int64_t begin = kt__now();
        kt__set(&shared->ping, (uint32_t)count + 1);
        kt__await(&shared->pong, (uint32_t)count + 1);
        samples[count++] = kt__now() - begin - kt_bench_clock_overhead();
    }
    atomic_store(&shared->stop, 1);
    kt__set(&shared->ping, (uint32_t)count + 1);
    rc = maker->join(&made);
    kt__block_end(block, count);
    return rc < 0 ? rc : 1;
}

static int64_t run(int32_t suite, const struct kt__maker *maker, const kt_bench_request *request,
                   int64_t *samples, kt_bench_block *block)
{
    switch (suite) {
    case KT_BENCH_CREATE:
        /* Needs a time that the thread itself records: a process that executes a program records none. */
        return maker->runs_nothing ? -ENOTSUP : one_by_one(create, maker, request, samples, block);
    case KT_BENCH_CREATE_JOIN:
        return one_by_one(kt__create_join, maker, request, samples, block);
    case KT_BENCH_JOIN:
        return maker->runs_nothing ? -ENOTSUP : one_by_one(join, maker, request, samples, block);
    case KT_BENCH_DETACH:
        return maker->detach ? detach(maker, request, samples, block) : -ENOTSUP;
    case KT_BENCH_SWITCH:
        return maker->runs_nothing ? -ENOTSUP : round_trip(maker, request, samples, block);
    case KT_BENCH_CREATORS:
        return kt__creators(maker, request, samples, block);
    default:
        return -EINVAL;
    }
}

int kt_bench_threads(int32_t suite, size_t maker_number, const kt_bench_request *request, int64_t *samples,
                     kt_bench_block *block)
{
    const struct kt__maker *maker = kt__maker_at(maker_number);
    if (!maker) {
        return -ENOTSUP;
    }
    if (!kt__probe()) {
        return -ENOMEM;
    }
    kt_bench_clock_overhead(); /* measured before the block begins */
    *block = (kt_bench_block){.count = 0};
    kt__probe()->runs = 0;
    kt__block_begin(block);
    int64_t runs = run(suite, maker, request, samples, block);
    if (runs < 0) {
        return (int)runs;
    }
    return maker->runs_nothing || kt__probe()->runs == runs ? 0 : -EPROTO;
}

int kt_bench_marked(size_t maker_number, size_t count)
{
    static const char mark[] = "kthreads bench";
    const struct kt__maker *maker = kt__maker_at(maker_number);
    int64_t rc = maker && kt__probe() ? 0 : -ENOTSUP;
    if (rc == 0) {
        kt__create_join(maker, kt__probe()); /* maps stacks and fills caches */
        (void)!write(-1, mark, sizeof mark - 1);
    }
    for (size_t i = 0; i < count && rc >= 0; i++) {
        rc = kt__create_join(maker, kt__probe());
    }
    if (maker) {
        (void)!write(-1, mark, sizeof mark - 1);
    }
    return rc < 0 ? (int)rc : 0;
}
