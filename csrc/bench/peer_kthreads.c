/* kt_pool. */
#define _GNU_SOURCE
#include "bench/peer.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum {
    WAIT_SPIN_NS = 20000
}; /* the time that Python spins for a task's result: WAIT_SPIN_NS of pools/settings.py */

struct state {
    kt_pool *pool;
    kt_loop loop; /* copied for each run */
    kt_task task;
    int64_t wait_spin_ns;
    kt__body *body;
    void *argument;
};

static void run_chunk(int64_t begin, int64_t end, void *argument)
{
    struct state *state = argument;
    for (int64_t i = begin; i < end; i++) {
        state->body(state->argument, (uint32_t)i);
    }
}

static kt_function as_function(const void *pointer_to_function)
{
    kt_function function;
    memcpy(&function, pointer_to_function, sizeof function);
    return function;
}

static uint32_t usable_cpus(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? (uint32_t)CPU_COUNT(&set) : 1;
}

static int open_pool(struct kt_bench_pool *pool, int64_t spin_ns)
{
    struct state *state = calloc(1, sizeof *state);
    if (!state) {
        return -ENOMEM;
    }
    kt_pool_spec spec = {
        .workers = pool->threads, .cpus = usable_cpus(), .spin_ns = spin_ns, .queue_size = 1024};
    int rc = kt_pool_new(&state->pool, &spec);
    if (rc < 0) {
        free(state);
        return rc;
    }
    void (*chunk)(int64_t, int64_t, void *) = run_chunk;
    state->loop = (kt_loop){
        .call = {.function = as_function(&chunk), .integers = {0, 0, (uintptr_t)state}},
        .end = pool->threads,
        .step = 1,
        .count = pool->threads,
        .grain = 1,
    };
    state->wait_spin_ns = spin_ns < WAIT_SPIN_NS ? spin_ns : WAIT_SPIN_NS;
    pool->state = state;
    return 0;
}

static int region(struct kt_bench_pool *pool, kt__body *body, void *argument)
{
    struct state *state = pool->state;
    kt_loop loop = state->loop;
    state->body = body;
    state->argument = argument;
    int rc;
    while ((rc = kt_pool_run(state->pool, &loop, -1)) == -ETIMEDOUT) {
    }
    return rc;
}

static int task(struct kt_bench_pool *pool, void (*function)(void *), void *argument)
{
    struct state *state = pool->state;
    kt_task *queued = &state->task;
    *queued = (kt_task){.call = {.function = as_function(&function), .integers = {(uintptr_t)argument}}};
    int64_t count = kt_pool_submit(state->pool, &queued, 1, -1);
    return count < 0 ? (int)count : 0;
}

static int wait_for_task(struct kt_bench_pool *pool)
{
    struct state *state = pool->state;
    int rc;
    while ((rc = kt_task_wait(&state->task, state->wait_spin_ns, -1)) == -EINTR) {
    }
    return rc;
}

static void close_pool(struct kt_bench_pool *pool)
{
    struct state *state = pool->state;
    while (kt_pool_quiesce(state->pool, -1) != 0) {
    }
    kt_pool_free(state->pool);
    free(state);
}

const struct kt__peer kt__peer_kthreads = {"kthreads", NULL,          open_pool, region,
                                           task,       wait_for_task, close_pool};
