/* Threads of the caller that serve a pool, without Python. */
#define _GNU_SOURCE
#include "test.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 3, TASKS = 20000 };

static atomic_int done;

static uint64_t count(void *unused)
{
    (void)unused;
    return (uint64_t)atomic_fetch_add(&done, 1);
}

static kt_pool *new_pool(uint32_t workers, uint32_t queue_size, uint32_t options)
{
    kt_pool_spec spec = {.workers = workers,
                         .cpus = 2,
                         .spin_ns = 20000,
                         .queue_size = queue_size,
                         .options = KT_POOL_LENT | options};
    kt_pool *pool = NULL;
    CHECK(kt_pool_new(&pool, &spec) == 0);
    atomic_store(&done, 0);
    return pool;
}

static kt_task counting(void)
{
    return (kt_task){.call = {.function = FUNCTION(count), .kind = KT_RESULT_INTEGER}};
}

static int64_t submit(kt_pool *pool, kt_task *task)
{
    return kt_pool_submit(pool, &task, 1, 0);
}

static void who_serves_does_the_tasks_in_their_order_until_the_pool_is_closed(void)
{
    kt_pool *pool = new_pool(1, 8, 0);
    kt_task tasks[8];
    for (int i = 0; i < 8; i++) {
        tasks[i] = counting();
        CHECK(submit(pool, &tasks[i]) == 1);
    }
    CHECK(kt_pool_unfinished(pool) == 8 && atomic_load(&done) == 0);
    kt_pool_close(pool);
    CHECK(kt_pool_serve(pool, 1) == 0 && kt_pool_unfinished(pool) == 0);
    for (uint64_t i = 0; i < 8; i++) {
        CHECK(tasks[i].call.result == i);
    }
    kt_pool_free(pool);
}

static void a_bounded_queue_refuses_what_it_has_no_room_for(void)
{
    kt_pool *pool = new_pool(1, 4, 0);
    kt_task tasks[5];
    for (int i = 0; i < 5; i++) {
        tasks[i] = counting();
        CHECK(submit(pool, &tasks[i]) == (i < 4 ? 1 : -EAGAIN));
    }
    CHECK(kt_pool_unfinished(pool) == 4 && kt_task_state_of(&tasks[4]) == KT_TASK_NEW);
    kt_pool_close(pool);
    CHECK(kt_pool_serve(pool, 1) == 0 && atomic_load(&done) == 4);
    kt_pool_free(pool);
}

struct server {
    kt_pool *pool;
    uint32_t number;
};

static int serve(struct server *server)
{
    return kt_pool_serve(server->pool, server->number);
}

static void an_unbounded_queue_takes_all_and_keeps_their_order_while_it_is_served(void)
{
    static kt_task tasks[TASKS];
    kt_pool *pool = new_pool(1, 4, KT_POOL_UNBOUNDED);
    struct server server = {pool, 1};
    kt_spec spec = spec_for(*backends());
    kt_thread *thread = start(&spec, FUNCTION(serve), &server);
    for (int i = 0; i < TASKS; i++) {
        tasks[i] = counting();
        CHECK(submit(pool, &tasks[i]) == 1);
    }
    kt_pool_close(pool);
    finish(thread);
    CHECK(kt_pool_unfinished(pool) == 0);
    for (uint64_t i = 0; i < TASKS; i++) {
        CHECK(tasks[i].call.result == i);
    }
    kt_pool_free(pool);
}

static void tasks_beyond_the_queue_can_be_cancelled(void)
{
    kt_pool *pool = new_pool(1, 2, KT_POOL_UNBOUNDED);
    kt_task tasks[4];
    for (int i = 0; i < 4; i++) {
        tasks[i] = counting();
        CHECK(submit(pool, &tasks[i]) == 1);
    }
    CHECK(kt_task_cancel(&tasks[3]) == 0);
    kt_pool_close(pool);
    CHECK(kt_pool_serve(pool, 1) == 0 && kt_pool_unfinished(pool) == 0);
    CHECK(atomic_load(&done) == 3 && kt_task_state_of(&tasks[3]) == KT_TASK_GONE);
    kt_pool_free(pool);
}

static void tasks_that_came_after_the_last_thread_come_back_cancelled_when_the_pool_is_freed(void)
{
    kt_completions *completions;
    CHECK(kt_completions_new(&completions) == 0);
    kt_pool *pool = new_pool(1, 1, KT_POOL_UNBOUNDED);
    kt_pool_close(pool);
    CHECK(kt_pool_serve(pool, 1) == 0);
    kt_task tasks[4];
    for (int i = 0; i < 4; i++) {
        tasks[i] = counting();
        tasks[i].completions = i % 2 ? completions : NULL;
        CHECK(submit(pool, &tasks[i]) == 1);
    }
    CHECK(kt_task_cancel(&tasks[3]) == 0);
    kt_pool_free(pool);
    kt_completions_wait(completions);
    kt_task *first = NULL;
    kt_completions_take(completions, &first);
    CHECK(first == &tasks[1] && first->link == &tasks[3] && !first->link->link);
    CHECK(kt_task_state_of(&tasks[0]) == KT_TASK_GONE && kt_task_state_of(&tasks[2]) == KT_TASK_GONE);
    CHECK(kt_task_state_of(&tasks[1]) == KT_TASK_CANCELLED && atomic_load(&done) == 0);
    kt_completions_free(completions);
}

static void many_threads_do_many_tasks_of_a_pool_with_a_small_queue(void)
{
    static kt_task tasks[TASKS];
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_pool *pool = new_pool(THREADS, 4, KT_POOL_UNBOUNDED);
        struct server servers[THREADS];
        kt_thread *threads[THREADS];
        kt_spec spec = spec_for(*backend);
        for (uint32_t i = 0; i < THREADS; i++) {
            servers[i] = (struct server){pool, i + 1};
            threads[i] = start(&spec, FUNCTION(serve), &servers[i]);
        }
        for (int i = 0; i < TASKS; i++) {
            tasks[i] = counting();
            CHECK(submit(pool, &tasks[i]) == 1);
        }
        kt_pool_close(pool);
        for (int i = 0; i < THREADS; i++) {
            finish(threads[i]);
        }
        CHECK(atomic_load(&done) == TASKS && kt_pool_unfinished(pool) == 0);
        kt_pool_free(pool);
    }
}

static pid_t forked = -1;
static kt_pool *forking_pool;
static kt_thread *in_its_place;

static uint64_t fork_and_start_another(void *unused)
{
    (void)unused;
    if ((forked = fork()) == 0) {
        static struct server server;
        kt_task task = counting();
        kt_spec spec = spec_for(*backends());
        server = (struct server){forking_pool, 1};
        in_its_place = start(&spec, FUNCTION(serve), &server);
        CHECK(submit(forking_pool, &task) == 1);
        CHECK(kt_task_wait(&task, 0, -1) == 0 && atomic_load(&done) == 1);
    }
    return 0;
}

static void a_task_that_forks_ends_the_service_in_the_child_where_another_has_its_place(void)
{
    kt_pool *pool = forking_pool = new_pool(1, 4, 0);
    kt_task forking = {.call = {.function = FUNCTION(fork_and_start_another)}};
    CHECK(submit(pool, &forking) == 1);
    kt_pool_close(pool);
    CHECK(kt_pool_serve(pool, 1) == 0); /* the pool is not closed in the child */
    if (forked == 0) {
        kt_pool_close(pool);
        finish(in_its_place);
        _exit(kt_pool_unfinished(pool) == 0 ? 0 : 1);
    }
    int status;
    CHECK(waitpid(forked, &status, 0) == forked && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    kt_pool_free(pool);
}

static void bad_numbers_are_refused(void)
{
    kt_pool *pool = new_pool(2, 4, 0);
    CHECK(kt_pool_serve(pool, 0) == -EINVAL && kt_pool_serve(pool, 3) == -EINVAL);
    kt_pool_free(pool);
}

int main(void)
{
    RUN(who_serves_does_the_tasks_in_their_order_until_the_pool_is_closed);
    RUN(a_bounded_queue_refuses_what_it_has_no_room_for);
    RUN(an_unbounded_queue_takes_all_and_keeps_their_order_while_it_is_served);
    RUN(tasks_beyond_the_queue_can_be_cancelled);
    RUN(tasks_that_came_after_the_last_thread_come_back_cancelled_when_the_pool_is_freed);
    RUN(many_threads_do_many_tasks_of_a_pool_with_a_small_queue);
    RUN(a_task_that_forks_ends_the_service_in_the_child_where_another_has_its_place);
    RUN(bad_numbers_are_refused);
    return 0;
}
