/* Loops and tasks on a pool, without Python. */
#define _GNU_SOURCE
#include "pool_test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ITEMS = 10000 };

static atomic_int seen[ITEMS];
static atomic_int gate, arrived;

static void mark(int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++) {
        atomic_fetch_add_explicit(&seen[i], 1, memory_order_relaxed);
    }
}

static void expect_each_once(int64_t count)
{
    for (int64_t i = 0; i < ITEMS; i++) {
        CHECK(atomic_exchange(&seen[i], 0) == (i < count));
    }
}

static void a_loop_runs_each_item_once(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        for (uint32_t workers = 1; workers <= 5; workers += 2) {
            kt_pool *pool = new_pool(workers, *backend, 16);
            for (int64_t count = 0; count <= ITEMS; count = 3 * count + 1) {
                for (int schedule = KT_SCHEDULE_DYNAMIC; schedule <= KT_SCHEDULE_STATIC; schedule++) {
                    kt_loop loop = loop_over(FUNCTION(mark), count);
                    loop.schedule = schedule;
                    loop.grain = (uint64_t)(count % 3);
                    CHECK(run(pool, &loop) == 0);
                    CHECK(loop.done == (uint64_t)count);
                    expect_each_once(count);
                }
            }
            end(pool);
        }
    }
}

static void many_small_loops_one_after_the_other(void)
{
    kt_pool *pool = new_pool(3, backends()[0], 16);
    kt_loop loop = loop_over(FUNCTION(mark), 3);
    for (int i = 0; i < 20000; i++) {
        CHECK(run(pool, &loop) == 0);
    }
    CHECK(atomic_load(&seen[0]) == 20000 && atomic_load(&seen[2]) == 20000);
    memset((void *)seen, 0, sizeof seen);
    end(pool);
}

static void meet(int64_t begin, int64_t last)
{
    (void)begin, (void)last;
    atomic_fetch_add(&arrived, 1);
    while (atomic_load(&arrived) < 4) {
        sched_yield();
    }
}

static void all_workers_take_part_in_a_long_loop(void)
{
    kt_pool *pool = new_pool(4, backends()[0], 16);
    kt_loop loop = loop_over(FUNCTION(meet), 4);
    CHECK(run(pool, &loop) == 0); /* a barrier: it ends only when four threads are in it */
    CHECK(loop.took_part == 4);
    atomic_store(&arrived, 0);
    end(pool);
}

static int fail_at_700(int64_t begin, int64_t last)
{
    return begin <= 700 && 700 < last ? 42 : 0;
}

static void a_failing_body_stops_the_loop(void)
{
    kt_pool *pool = new_pool(2, backends()[0], 16);
    kt_loop loop = loop_over(FUNCTION(fail_at_700), ITEMS);
    loop.failure = 0xffffffff;
    loop.grain = 100;
    CHECK(run(pool, &loop) == -EIO);
    CHECK(loop.failed_begin == 700 && loop.failed_end == 800 && (int32_t)loop.failed_result == 42);
    CHECK(loop.done < ITEMS);
    end(pool);
}

static int32_t cancelled;

static void cancel_it(int64_t begin, int64_t last)
{
    (void)last;
    if (begin == 0) {
        __atomic_store_n(&cancelled, 1, __ATOMIC_RELAXED);
    }
}

static void a_cancelled_loop_says_how_much_was_done(void)
{
    kt_pool *pool = new_pool(2, backends()[0], 16);
    kt_loop loop = loop_over(FUNCTION(cancel_it), 1000000);
    loop.grain = 1;
    loop.cancel = &cancelled;
    CHECK(run(pool, &loop) == -ECANCELED);
    CHECK(loop.done >= 1 && loop.done < 1000000);
    end(pool);
}

static kt_pool *outer_pool;

static void nest(int64_t begin, int64_t last)
{
    for (int64_t i = begin; i < last; i++) {
        kt_loop inner = loop_over(FUNCTION(mark), 100);
        CHECK(run(outer_pool, &inner) == 0);
    }
}

static void nested_loops_run(void)
{
    outer_pool = new_pool(4, backends()[0], 16);
    kt_loop loop = loop_over(FUNCTION(nest), 20);
    CHECK(run(outer_pool, &loop) == 0);
    for (int i = 0; i < 100; i++) {
        CHECK(atomic_exchange(&seen[i], 0) == 20);
    }
    end(outer_pool);
}

static void *call_many(void *unused)
{
    (void)unused;
    for (int i = 0; i < 300; i++) {
        kt_loop loop = loop_over(FUNCTION(mark), 50);
        loop.grain = 1;
        CHECK(run(outer_pool, &loop) == 0);
    }
    return NULL;
}

static void threads_call_loops_at_once(void)
{
    pthread_t callers[4];
    outer_pool = new_pool(3, backends()[0], 16);
    for (int i = 0; i < 4; i++) {
        CHECK(pthread_create(&callers[i], NULL, call_many, NULL) == 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(callers[i], NULL);
    }
    for (int i = 0; i < 50; i++) {
        CHECK(atomic_exchange(&seen[i], 0) == 1200);
    }
    end(outer_pool);
}

static pthread_t calling;

static void hold_all_but_the_caller(int64_t begin, int64_t last)
{
    (void)begin, (void)last;
    if (pthread_equal(pthread_self(), calling)) {
        while (!atomic_load(&arrived)) {
            sched_yield();
        }
        return;
    }
    atomic_store(&arrived, 1);
    while (!atomic_load(&gate)) {
        sched_yield();
    }
}

static void a_loop_can_be_waited_for_in_slices(void)
{
    kt_pool *pool = new_pool(2, backends()[0], 16);
    kt_loop loop = loop_over(FUNCTION(hold_all_but_the_caller), 2);
    calling = pthread_self();
    CHECK(kt_pool_run(pool, &loop, 1000000) == -ETIMEDOUT);
    CHECK(kt_pool_run(pool, &loop, 1000000) == -ETIMEDOUT);
    kt_loop_stop(&loop); /* too late: both items are running */
    atomic_store(&gate, 1);
    CHECK(run(pool, &loop) == 0);
    atomic_store(&gate, 0);
    atomic_store(&arrived, 0);
    end(pool);
}

static void a_pool_works_after_it_was_quiet_or_resized(void)
{
    kt_pool *pool = new_pool(3, backends()[0], 16);
    for (uint32_t workers = 1; workers < 5; workers++) {
        kt_loop loop = loop_over(FUNCTION(mark), 1000);
        CHECK(run(pool, &loop) == 0);
        expect_each_once(1000);
        CHECK(kt_pool_quiesce(pool, -1) == 0);
        CHECK(run(pool, &loop) == 0);
        expect_each_once(1000);
        CHECK(kt_pool_resize(pool, workers, 2, -1) == 0);
        CHECK(kt_pool_workers(pool) == workers);
    }
    end(pool);
}

/* Runs in a task: submits another task after the pool's other thread has left, and waits for it. */
static void need_another_task_as_threads_leave(kt_pool *pool)
{
    kt_worker_stats stats[3];
    kt_task task = {.call = {.function = FUNCTION(add), .integers = {1, 2}, .kind = KT_RESULT_INTEGER}};
    kt_task *list = &task;
    atomic_store(&arrived, 1);
    do {
        sched_yield();
        CHECK(kt_pool_stats(pool, stats, 3) == 3);
    } while (stats[1].cpu_ns >= 0 && stats[2].cpu_ns >= 0);
    CHECK(kt_pool_submit(pool, &list, 1, -1) == 1);
    CHECK(kt_task_wait(&task, 0, -1) == 0 && task.call.result == 3);
}

static void a_pool_goes_on_with_all_threads_when_it_does_not_get_quiet_in_time(void)
{
    kt_pool *pool = new_pool(2, backends()[0], 16);
    kt_task task = {.call = call_of(FUNCTION(need_another_task_as_threads_leave), pool)};
    kt_task *list = &task;
    CHECK(kt_pool_submit(pool, &list, 1, -1) == 1);
    while (atomic_exchange(&arrived, 0) == 0) {
        sched_yield();
    }
    while (kt_task_state_of(&task) != KT_TASK_DONE) {
        kt_pool_quiesce(pool, 100000000);
    }
    end(pool);
}

static void *submit_while_resized(void *pool)
{
    for (int i = 0; i < 2000; i++) {
        kt_task task = {.call = {.function = FUNCTION(add), .integers = {1, 2}, .kind = KT_RESULT_INTEGER}};
        kt_task *list = &task;
        CHECK(kt_pool_submit(pool, &list, 1, -1) == 1);
        CHECK(kt_task_wait(&task, 0, -1) == 0 && task.call.result == 3);
    }
    atomic_store(&arrived, 1);
    return NULL;
}

static void tasks_run_while_the_pool_is_resized_and_no_thread_stays_behind(void)
{
    kt_pool *pool = new_pool(4, backends()[0], 16);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, submit_while_resized, pool) == 0);
    for (uint32_t workers = 1; atomic_exchange(&arrived, 0) == 0; workers = 5 - workers) {
        CHECK(kt_pool_resize(pool, workers, 2, -1) == 0);
    }
    CHECK(pthread_join(thread, NULL) == 0);
    end(pool);
}

static void quiesce_within(int64_t begin, int64_t last)
{
    (void)begin, (void)last;
    CHECK(kt_pool_quiesce(outer_pool, -1) == -EDEADLK);
}

static void a_pool_cannot_be_quiet_within_itself(void)
{
    outer_pool = new_pool(2, backends()[0], 16);
    kt_loop loop = loop_over(FUNCTION(quiesce_within), 8);
    loop.grain = 1;
    CHECK(run(outer_pool, &loop) == 0);
    end(outer_pool);
}

static int fork_and_loop(kt_pool *pool)
{
    pid_t pid = fork();
    if (pid == 0) {
        kt_loop loop = loop_over(FUNCTION(mark), 1000);
        int rc = run(pool, &loop);
        kt_task task = {.call = {.function = FUNCTION(add), .integers = {1, 2}, .kind = KT_RESULT_INTEGER}};
        kt_task *list = &task;
        rc |= kt_pool_submit(pool, &list, 1, -1) != 1 || kt_task_wait(&task, 0, -1) != 0 ||
              task.call.result != 3;
        _exit(rc ? 1 : 0);
    }
    int status = -1;
    waitpid(pid, &status, 0);
    return status;
}

static void fork_once(int64_t begin, int64_t last)
{
    (void)last;
    if (begin == 0) {
        CHECK(fork_and_loop(outer_pool) == 0);
    }
}

static void a_pool_works_in_a_forked_child(void)
{
    if (!makes_threads_after_fork()) {
        return;
    }
    outer_pool = new_pool(3, backends()[0], 16);
    CHECK(fork_and_loop(outer_pool) == 0);
    kt_loop loop = loop_over(FUNCTION(fork_once), 100);
    loop.grain = 1;
    for (int i = 0; i < 20; i++) {
        CHECK(run(outer_pool, &loop) == 0);
        memset((void *)seen, 0, sizeof seen);
    }
    kt_loop all = loop_over(FUNCTION(mark), ITEMS);
    CHECK(run(outer_pool, &all) == 0);
    expect_each_once(ITEMS);
    end(outer_pool);
}

static atomic_int in_child;

static void mark_slowly_in_child(int64_t begin, int64_t end)
{
    for (int64_t start = atomic_load(&in_child) ? 1000000 : 0; start > 0; start--) {
        __asm__ volatile("");
    }
    mark(begin, end);
}

static void hold_units(int64_t begin, int64_t end)
{
    (void)begin, (void)end;
    atomic_fetch_add(&arrived, 1);
    while (!atomic_load(&gate)) {
        sched_yield();
    }
}

static void *loop_that_is_held(void *pool)
{
    kt_loop held = loop_over(FUNCTION(hold_units), ITEMS);
    held.grain = 1;
    held.workers = 2;
    CHECK(run(pool, &held) == 0);
    return NULL;
}

/* The child begins with a loop whose estimate is so short that no worker is woken, until it turns out to be
 * long. */
static void a_child_forked_while_another_thread_loops_runs_nothing_of_that_loop(void)
{
    if (!makes_threads_after_fork()) {
        return;
    }
    kt_pool *pool = new_pool(3, backends()[0], 16);
    kt_loop loop = loop_over(FUNCTION(mark_slowly_in_child), 6);
    for (int i = 0; i < 100; i++) {
        CHECK(run(pool, &loop) == 0);
    }
    memset((void *)seen, 0, sizeof seen);
    pthread_t other;
    CHECK(pthread_create(&other, NULL, loop_that_is_held, pool) == 0);
    while (atomic_load(&arrived) == 0) {
        sched_yield();
    }
    pid_t pid = fork();
    if (pid == 0) {
        atomic_store(&in_child, 1);
        loop = loop_over(FUNCTION(mark_slowly_in_child), 6);
        CHECK(run(pool, &loop) == 0 && loop.done == 6);
        expect_each_once(6);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    atomic_store(&gate, 1);
    CHECK(pthread_join(other, NULL) == 0);
    end(pool);
    atomic_store(&gate, 0);
    atomic_store(&arrived, 0);
}

static void what_was_done_is_counted_and_recorded(void)
{
    kt_event events[64];
    kt_worker_stats stats[8];
    kt_pool *pool = new_pool(2, backends()[0], 16);
    kt_pool_trace(pool, events, 64);
    kt_loop loop = loop_over(FUNCTION(mark), 10);
    loop.grain = 1;
    CHECK(run(pool, &loop) == 0);
    CHECK(kt_pool_trace(pool, NULL, 0) == 11);
    expect_each_once(10);
    int chunks = 0;
    for (int i = 0; i < 11; i++) {
        CHECK(events[i].begin_ns <= events[i].end_ns && events[i].worker < 2);
        chunks += events[i].kind == KT_EVENT_CHUNK;
    }
    CHECK(chunks == 10);
    CHECK(kt_pool_stats(pool, stats, 8) == 3);
    CHECK(stats[0].chunks + stats[1].chunks == 10 && stats[0].regions == 1);
    end(pool);
}

static void bad_specs_are_refused(void)
{
    kt_pool *pool = NULL;
    CHECK(kt_pool_new(&pool, &(kt_pool_spec){.workers = 0, .queue_size = 1}) == -EINVAL);
    CHECK(kt_pool_new(&pool, &(kt_pool_spec){.workers = KT_POOL_WORKERS_MAX + 1, .queue_size = 1}) ==
          -EINVAL);
    CHECK(kt_pool_new(&pool, &(kt_pool_spec){.workers = 1, .queue_size = 0}) == -EINVAL);
    CHECK(pool == NULL);
    pool = new_pool(2, backends()[0], 1);
    kt_loop loop = loop_over(NULL, 1);
    CHECK(kt_pool_run(pool, &loop, -1) == -EINVAL);
    loop = loop_over(FUNCTION(mark), 1);
    loop.step = 0;
    CHECK(kt_pool_run(pool, &loop, -1) == -EINVAL);
    end(pool);
}

int main(void)
{
    RUN(a_loop_runs_each_item_once);
    RUN(many_small_loops_one_after_the_other);
    RUN(all_workers_take_part_in_a_long_loop);
    RUN(a_failing_body_stops_the_loop);
    RUN(a_cancelled_loop_says_how_much_was_done);
    RUN(nested_loops_run);
    RUN(threads_call_loops_at_once);
    RUN(a_loop_can_be_waited_for_in_slices);
    RUN(a_pool_works_after_it_was_quiet_or_resized);
    RUN(a_pool_goes_on_with_all_threads_when_it_does_not_get_quiet_in_time);
    RUN(tasks_run_while_the_pool_is_resized_and_no_thread_stays_behind);
    RUN(a_pool_cannot_be_quiet_within_itself);
    RUN(a_pool_works_in_a_forked_child);
    RUN(a_child_forked_while_another_thread_loops_runs_nothing_of_that_loop);
    RUN(what_was_done_is_counted_and_recorded);
    RUN(bad_specs_are_refused);
    return 0;
}
