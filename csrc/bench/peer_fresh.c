/* New threads for each region or task, by kthreads and by pthread_create, in place of a pool. */
#define _GNU_SOURCE
#include "bench/peer.h"

#include <errno.h>
#include <stdlib.h>

struct seat {
    struct state *state;
    uint32_t number;
    struct kt__made made;
};

struct state {
    const struct kt__maker *maker;
    kt__body *body;
    void *argument;
    struct seat seats[];
};

static int open_with(struct kt_bench_pool *pool, const char *maker)
{
    struct state *state = calloc(1, sizeof *state + pool->threads * sizeof(struct seat));
    if (!state) {
        return -ENOMEM;
    }
    state->maker = kt__maker_named(maker);
    pool->state = state;
    return 0;
}

static int open_clone(struct kt_bench_pool *pool, int64_t spin_ns)
{
    (void)spin_ns;
    return open_with(pool, "clone");
}

static int open_reuse(struct kt_bench_pool *pool, int64_t spin_ns)
{
    (void)spin_ns;
    return open_with(pool, "reuse");
}

static int open_pthread(struct kt_bench_pool *pool, int64_t spin_ns)
{
    (void)spin_ns;
    return open_with(pool, "pthread");
}

static void run(void *argument)
{
    struct seat *seat = argument;
    seat->state->body(seat->state->argument, seat->number);
}

static int region(struct kt_bench_pool *pool, kt__body *body, void *argument)
{
    struct state *state = pool->state;
    uint32_t started = 1;
    int rc = 0;
    state->body = body;
    state->argument = argument;
    for (; started < pool->threads; started++) {
        struct seat *seat = &state->seats[started];
        seat->state = state;
        seat->number = started;
        seat->made = (struct kt__made){.function = run, .argument = seat};
        if ((rc = state->maker->start(&seat->made)) != 0) {
            break;
        }
    }
    body(argument, 0);
    for (uint32_t i = 1; i < started; i++) {
        state->maker->join(&state->seats[i].made);
    }
    return rc;
}

static int task(struct kt_bench_pool *pool, void (*function)(void *), void *argument)
{
    struct state *state = pool->state;
    state->seats[0].made = (struct kt__made){.function = function, .argument = argument};
    return state->maker->start(&state->seats[0].made);
}

static int wait_for_task(struct kt_bench_pool *pool)
{
    struct state *state = pool->state;
    return state->maker->join(&state->seats[0].made);
}

static void close_pool(struct kt_bench_pool *pool)
{
    free(pool->state);
}

static const char *clone_missing(void)
{
    return kt__maker_named("clone") ? NULL : "this libc failed the self-check (kthreads doctor)";
}

const struct kt__peer kt__peer_clone = {"clone", clone_missing, open_clone, region,
                                        task,    wait_for_task, close_pool};
const struct kt__peer kt__peer_reuse = {"reuse", clone_missing, open_reuse, region,
                                        task,    wait_for_task, close_pool};
const struct kt__peer kt__peer_pthread = {"pthread", NULL,          open_pthread, region,
                                          task,      wait_for_task, close_pool};
