/* Loops that are run to their end in all cases, and broken pools. */
#define _GNU_SOURCE
#include "pool_test.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

static atomic_int inside, calls, asked;
static atomic_bool gate_is_open;

static void reset(void)
{
    atomic_store(&inside, 0);
    atomic_store(&calls, 0);
    atomic_store(&asked, 0);
    atomic_store(&gate_is_open, false);
}

static int chunk(int64_t begin, int64_t end)
{
    (void)begin;
    (void)end;
    atomic_fetch_add(&inside, 1);
    atomic_fetch_add(&calls, 1);
    while (!atomic_load(&gate_is_open)) {
        sched_yield();
    }
    atomic_fetch_sub(&inside, 1);
    return 0;
}

static int interrupts(void)
{
    atomic_fetch_add(&asked, 1);
    return 1;
}

static int does_not_interrupt(void)
{
    return atomic_fetch_add(&asked, 1) < 0;
}

static kt_loop endless(void)
{
    kt_loop loop = loop_over(FUNCTION(chunk), 1000000000);
    loop.grain = 1;
    return loop;
}

static void an_interrupted_loop_has_ended_when_the_call_returns(void)
{
    kt_pool *pool = new_pool(2, backends()[0], 8);
    reset();
    atomic_store(&gate_is_open, true);
    kt_loop loop = endless();
    CHECK(kt_pool_run_to_end(pool, &loop, -1, interrupts, NULL) == -EINTR);
    CHECK(atomic_load(&inside) == 0 && atomic_load(&asked) == 1);
    CHECK(loop.done == (uint64_t)atomic_load(&calls) && loop.done < loop.count);
    end(pool);
}

static void a_loop_whose_time_is_over_has_ended_when_the_call_returns(void)
{
    kt_pool *pool = new_pool(2, backends()[0], 8);
    reset();
    atomic_store(&gate_is_open, true);
    kt_loop loop = endless();
    CHECK(kt_pool_run_to_end(pool, &loop, 100000000, does_not_interrupt, NULL) == -ETIMEDOUT);
    CHECK(atomic_load(&inside) == 0 && atomic_load(&asked) >= 1 && loop.done < loop.count);
    CHECK(kt_pool_run_to_end(pool, &loop, 0, NULL, NULL) == -ETIMEDOUT && atomic_load(&inside) == 0);
    end(pool);
}

struct call {
    kt_pool *pool;
    kt_loop *loop;
    int rc;
};

static void *run_it(void *argument)
{
    struct call *call = argument;
    call->rc = kt_pool_run_to_end(call->pool, call->loop, -1, NULL, NULL);
    return NULL;
}

static void of_two_callers_of_one_loop_one_runs_it(void)
{
    kt_pool *pool = new_pool(2, backends()[0], 8);
    for (int count = 1; count <= 2; count++) { /* alone, and with a worker */
        reset();
        kt_loop loop = loop_over(FUNCTION(chunk), count);
        loop.grain = 1;
        struct call other = {.pool = pool, .loop = &loop};
        pthread_t thread;
        CHECK(pthread_create(&thread, NULL, run_it, &other) == 0);
        while (atomic_load(&inside) == 0) {
            sched_yield();
        }
        CHECK(kt_pool_run_to_end(pool, &loop, -1, NULL, NULL) == -EBUSY);
        atomic_store(&gate_is_open, true);
        pthread_join(thread, NULL);
        CHECK(other.rc == 0 && atomic_load(&calls) == count);
        CHECK(kt_pool_run_to_end(pool, &loop, -1, NULL, NULL) == 0 && atomic_load(&calls) == 2 * count);
    }
    end(pool);
}

static int fail_to_begin(void)
{
    return 7;
}

static pthread_t caller;
static atomic_int elsewhere;

static void note_where(int64_t begin, int64_t end)
{
    atomic_fetch_add(&calls, (int)(end - begin));
    atomic_fetch_add(&elsewhere, !pthread_equal(pthread_self(), caller));
}

static void a_thread_whose_initializer_has_failed_runs_nothing(void)
{
    reset();
    caller = pthread_self();
    kt_call initializer = {.function = FUNCTION(fail_to_begin), .kind = KT_RESULT_INTEGER};
    kt_spec thread = spec_for(backends()[0]);
    kt_pool_spec spec = {
        .workers = 4, .cpus = 2, .queue_size = 8, .thread = &thread, .initializer = &initializer};
    kt_pool *pool = NULL;
    CHECK(kt_pool_new(&pool, &spec) == 0);
    kt_loop loop = loop_over(FUNCTION(note_where), 1000);
    loop.grain = 1;
    int loops = 0, rc;
    while ((rc = kt_pool_run_to_end(pool, &loop, -1, NULL, NULL)) ==
           0) { /* until the first thread has begun */
        loops++;
    }
    CHECK(rc == -ENOTRECOVERABLE);
    CHECK(atomic_load(&calls) == 1000 * loops && atomic_load(&elsewhere) == 0);
    end(pool);
}

static void a_broken_pool_gives_tasks_back_cancelled_and_takes_none(void)
{
    reset();
    kt_pool *pool = new_pool(1, backends()[0], 8);
    kt_completions *completions;
    CHECK(kt_completions_new(&completions) == 0);
    kt_task tasks[4], *list[4];
    for (int i = 0; i < 4; i++) {
        tasks[i] = (kt_task){.call = {.function = FUNCTION(chunk)}, .completions = completions};
        list[i] = &tasks[i];
    }
    CHECK(kt_pool_submit(pool, list, 3, -1) == 3);
    while (atomic_load(&inside) == 0) {
        sched_yield();
    }
    kt_pool_break(pool);
    CHECK(kt_pool_submit(pool, list + 3, 1, -1) == -ENOTRECOVERABLE);
    CHECK(kt_task_state_of(&tasks[3]) == KT_TASK_NEW);
    atomic_store(&gate_is_open, true);
    kt_task *first = NULL;
    for (int came = 0; came < 3;) {
        kt_completions_take(completions, &first);
        came = 0;
        for (kt_task *task = first; task; task = task->link) {
            came++;
        }
        sched_yield();
    }
    CHECK(atomic_load(&calls) == 1 && kt_task_state_of(&tasks[0]) == KT_TASK_DONE);
    CHECK(kt_task_state_of(&tasks[1]) == KT_TASK_CANCELLED);
    CHECK(first == &tasks[0] && first->link == &tasks[1] && tasks[1].link == &tasks[2] && !tasks[2].link);
    end(pool);
    kt_completions_free(completions);
}

int main(void)
{
    RUN(an_interrupted_loop_has_ended_when_the_call_returns);
    RUN(a_loop_whose_time_is_over_has_ended_when_the_call_returns);
    RUN(of_two_callers_of_one_loop_one_runs_it);
    RUN(a_thread_whose_initializer_has_failed_runs_nothing);
    RUN(a_broken_pool_gives_tasks_back_cancelled_and_takes_none);
    return 0;
}
