/* A queue with a mutex and a condition variable, as in textbooks and most executors. Tasks only. */
#define _GNU_SOURCE
#include "bench/peer.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>

struct state {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    void (*function)(void *); /* NULL: no task waits; `lock` guards all of these */
    void *argument;
    bool over;
    uint32_t started;
    pthread_t threads[];
};

static void *work(void *argument)
{
    struct state *state = argument;
    pthread_mutex_lock(&state->lock);
    for (;;) {
        while (!state->function && !state->over) {
            pthread_cond_wait(&state->changed, &state->lock);
        }
        if (!state->function) {
            break;
        }
        void (*function)(void *) = state->function;
        void *with = state->argument;
        state->function = NULL;
        pthread_mutex_unlock(&state->lock);
        function(with);
        pthread_mutex_lock(&state->lock);
    }
    pthread_mutex_unlock(&state->lock);
    return NULL;
}

static void close_pool(struct kt_bench_pool *pool)
{
    struct state *state = pool->state;
    pthread_mutex_lock(&state->lock);
    state->over = true;
    pthread_cond_broadcast(&state->changed);
    pthread_mutex_unlock(&state->lock);
    for (uint32_t i = 0; i < state->started; i++) {
        pthread_join(state->threads[i], NULL);
    }
    free(state);
}

static int open_pool(struct kt_bench_pool *pool, int64_t spin_ns)
{
    (void)spin_ns;
    struct state *state = calloc(1, sizeof *state + pool->threads * sizeof(pthread_t));
    if (!state) {
        return -ENOMEM;
    }
    pthread_mutex_init(&state->lock, NULL);
    pthread_cond_init(&state->changed, NULL);
    pool->state = state;
    for (int rc = 0; state->started < pool->threads; state->started++) {
        if ((rc = pthread_create(&state->threads[state->started], NULL, work, state)) != 0) {
            close_pool(pool);
            return -rc;
        }
    }
    return 0;
}

static int task(struct kt_bench_pool *pool, void (*function)(void *), void *argument)
{
    struct state *state = pool->state;
    pthread_mutex_lock(&state->lock);
    state->function = function;
    state->argument = argument;
    pthread_cond_signal(&state->changed);
    pthread_mutex_unlock(&state->lock);
    return 0;
}

static int no_region(struct kt_bench_pool *pool, kt__body *body, void *argument)
{
    (void)pool;
    (void)body;
    (void)argument;
    return -ENOTSUP;
}

const struct kt__peer kt__peer_condvar = {"condvar", NULL, open_pool, no_region, task, NULL, close_pool};
