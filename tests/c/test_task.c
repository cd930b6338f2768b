/* Tasks on a pool, without Python. */
#define _GNU_SOURCE
#include "pool_test.h"

#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>

static atomic_int gate, arrived;

static void tasks_come_back_through_a_descriptor(void)
{
    enum { TASKS = 1000 };
    static kt_task tasks[TASKS];
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_pool *pool = new_pool(3, *backend, 8);
        kt_completions *completions;
        CHECK(kt_completions_new(&completions) == 0);
        for (uint64_t i = 0; i < TASKS; i++) {
            tasks[i] =
                (kt_task){.call = {.function = FUNCTION(add), .integers = {i, 1}, .kind = KT_RESULT_INTEGER},
                          .completions = completions,
                          .tag = i};
            kt_task *one = &tasks[i];
            CHECK(kt_pool_submit(pool, &one, 1, -1) == 1);
        }
        struct pollfd readable = {.fd = kt_completions_fd(completions), .events = POLLIN};
        for (int came = 0; came < TASKS;) {
            CHECK(poll(&readable, 1, 10000) == 1);
            kt_task *first = NULL;
            kt_completions_take(completions, &first);
            for (kt_task *task = first; task; task = task->link, came++) {
                CHECK(kt_task_state_of(task) == KT_TASK_DONE && task->call.result == task->tag + 1);
            }
        }
        end(pool);
        kt_completions_free(completions);
    }
}

/* The n-th thread to arrive continues when the gate is open for n. */
static void hold(void)
{
    int number = atomic_fetch_add(&arrived, 1) + 1;
    while (atomic_load(&gate) < number) {
        sched_yield();
    }
}

static void a_full_queue_takes_no_more_and_a_cancelled_task_does_not_run(void)
{
    kt_pool *pool = new_pool(1, backends()[0], 2);
    kt_task tasks[4], *list[4];
    for (int i = 0; i < 4; i++) {
        tasks[i] = (kt_task){.call = {.function = FUNCTION(hold)}};
        list[i] = &tasks[i];
    }
    CHECK(kt_pool_submit(pool, list, 1, 0) == 1);
    while (atomic_load(&arrived) == 0) {
        sched_yield();
    }
    CHECK(kt_pool_submit(pool, list + 1, 3, 0) == 2);
    CHECK(kt_pool_submit(pool, list + 3, 1, 0) == -EAGAIN);
    CHECK(kt_pool_submit(pool, list + 3, 1, 1000000) == -EAGAIN);
    CHECK(kt_task_wait(&tasks[0], 0, 1000000) == -ETIMEDOUT);
    CHECK(kt_task_cancel(&tasks[0]) == -EBUSY);
    CHECK(kt_task_cancel(&tasks[1]) == 0);
    CHECK(kt_task_wait(&tasks[1], 0, -1) == 0);
    CHECK(kt_pool_quiesce(pool, 1000000) == -ETIMEDOUT);
    atomic_store(&gate, 2);
    CHECK(kt_task_wait(&tasks[2], 0, -1) == 0);
    CHECK(kt_task_state_of(&tasks[1]) == KT_TASK_GONE && kt_task_state_of(&tasks[2]) == KT_TASK_DONE);
    end(pool);
    CHECK(atomic_exchange(&arrived, 0) == 2);
    atomic_store(&gate, 0);
}

static bool is_readable(kt_completions *completions, int timeout_ms)
{
    struct pollfd readable = {.fd = kt_completions_fd(completions), .events = POLLIN};
    return poll(&readable, 1, timeout_ms) == 1;
}

static void wait_for_arrivals(int count)
{
    while (atomic_load(&arrived) < count) {
        sched_yield();
    }
}

/* One worker runs both tasks. While the second task blocks it, only a notification for the first can
 * arrive. */
static void the_descriptor_tells_at_once_of_watched_tasks_alone(void)
{
    kt_pool *pool = new_pool(1, backends()[0], 8);
    kt_completions *completions;
    CHECK(kt_completions_new(&completions) == 0);
    for (int watched = 0; watched <= 1; watched++) {
        kt_task first = {.call = {.function = FUNCTION(hold)}, .completions = completions};
        kt_task second = first, *list[] = {&first, &second};
        CHECK(kt_pool_submit(pool, list, 2, -1) == 2);
        if (watched) {
            CHECK(kt_task_watch(&first) == 0);
        }
        wait_for_arrivals(1);
        atomic_store(&gate, 1);
        wait_for_arrivals(2);
        kt_task_wait(&first, 0, -1);
        CHECK(is_readable(completions, watched ? 10000 : 0) == watched);
        CHECK(kt_task_watch(&first) == -EALREADY);
        atomic_store(&gate, 2);
        int came = 0;
        while (came < 2) {
            CHECK(is_readable(completions, 10000));
            kt_task *taken = NULL;
            kt_completions_take(completions, &taken);
            for (; taken; taken = taken->link) {
                came++;
            }
        }
        atomic_store(&gate, 0);
        atomic_store(&arrived, 0);
    }
    end(pool);
    kt_completions_free(completions);
}

static void completions_may_be_freed_as_soon_as_their_tasks_were_taken(void)
{
    kt_pool *pool = new_pool(3, backends()[0], 8);
    for (int i = 0; i < 2000; i++) {
        kt_completions *completions;
        CHECK(kt_completions_new(&completions) == 0);
        kt_task task = {.call = {.function = FUNCTION(add), .integers = {1, 2}}, .completions = completions};
        kt_task *list = &task, *taken = NULL;
        CHECK(kt_pool_submit(pool, &list, 1, -1) == 1);
        while (kt_completions_take(completions, &taken), !taken) {
            sched_yield();
        }
        kt_completions_free(completions);
    }
    end(pool);
}

static atomic_int begun, ended;

static void count_begin(void)
{
    atomic_fetch_add(&begun, 1);
}

static void count_end(void)
{
    atomic_fetch_add(&ended, 1);
}

static void an_initializer_and_a_finalizer_run_on_each_thread(void)
{
    kt_call initializer = {.function = count_begin}, finalizer = {.function = count_end};
    kt_spec thread = spec_for(backends()[0]);
    kt_pool_spec spec = {.workers = 3,
                         .queue_size = 2,
                         .thread = &thread,
                         .initializer = &initializer,
                         .finalizer = &finalizer};
    kt_pool *pool;
    CHECK(kt_pool_new(&pool, &spec) == 0);
    kt_task task = {.call = {.function = FUNCTION(add)}}, *list = &task;
    CHECK(kt_pool_submit(pool, &list, 1, -1) == 1);
    kt_task_wait(&task, 0, -1);
    end(pool);
    CHECK(atomic_load(&begun) == 3 && atomic_load(&ended) == 3);
}

int main(void)
{
    RUN(tasks_come_back_through_a_descriptor);
    RUN(a_full_queue_takes_no_more_and_a_cancelled_task_does_not_run);
    RUN(the_descriptor_tells_at_once_of_watched_tasks_alone);
    RUN(completions_may_be_freed_as_soon_as_their_tasks_were_taken);
    RUN(an_initializer_and_a_finalizer_run_on_each_thread);
    return 0;
}
