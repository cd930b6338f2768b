/* The rhythm of loops: which loops are expected, and when a worker wakes up for them. */
#define _GNU_SOURCE
#include "pool/rhythm.h"
#include "pool_test.h"

#include <string.h>
#include <sys/prctl.h>

enum { MS = 1000000, LOOP_NS = 10000 };

static struct kt_pool pool; /* without threads */

/* A loop begins at this time. */
static void loop_at(int64_t time)
{
    pool.begun_at = time;
    kt__rhythm_note(&pool, true);
    pool.ended_at = time + LOOP_NS;
}

/* `count` loops, from now on or from the last one on. */
static void loops(int count, int64_t period_ns)
{
    for (int i = 0; i < count; i++) {
        loop_at(pool.begun_at + period_ns);
    }
}

static void begin_anew(int64_t time)
{
    memset(&pool, 0, sizeof pool);
    pool.spin_ns = MS / 5;
    pool.cpus = 2;
    pool.begun_at = time;
}

static int64_t due(void)
{
    return atomic_load(&pool.rhythm.due);
}

static void loops_with_a_steady_gap_are_expected(void)
{
    begin_anew(0);
    loops(20, MS);
    CHECK(due() == pool.begun_at + MS);
}

static void a_gap_may_vary_by_a_twentieth(void)
{
    begin_anew(0);
    loops(1, MS);
    for (int i = 0; i < 100; i++) {
        loops(1, MS + (i % 3 - 1) * MS / 20);
        CHECK(i < 10 || (due() > pool.begun_at + MS * 95 / 100 && due() < pool.begun_at + MS * 105 / 100));
    }
}

static void loops_with_irregular_gaps_are_not_expected(void)
{
    begin_anew(0);
    for (int i = 0; i < 100; i++) {
        loops(1, MS * (1 + i % 5));
        CHECK(due() == 0);
    }
}

static void a_rhythm_survives_one_loop_out_of_time(void)
{
    begin_anew(0);
    loops(20, MS);
    loops(1, 3 * MS);
    CHECK(due() == pool.begun_at + MS);
    loops(2, 3 * MS);
    CHECK(due() == 0);
}

static void another_rhythm_replaces_the_last_one(void)
{
    begin_anew(0);
    loops(20, MS);
    loops(20, 3 * MS);
    CHECK(due() == pool.begun_at + 3 * MS);
}

static void loops_that_follow_closely_are_expected_as_one(void)
{
    begin_anew(0);
    for (int i = 0; i < 20; i++) {
        loops(1, MS - 2 * LOOP_NS);
        int64_t first = pool.begun_at;
        loops(2, LOOP_NS + 1);
        CHECK(i < 10 || llabs(due() - first - MS) < MS / 20);
    }
}

static void loops_at_long_intervals_are_not_expected(void)
{
    begin_anew(0);
    loops(20, 1000 * (int64_t)MS);
    CHECK(due() == 0);
}

static void loops_without_work_for_helpers_are_not_expected(void)
{
    begin_anew(0);
    loops(20, MS);
    pool.begun_at += MS;
    kt__rhythm_note(&pool, false);
    CHECK(due() == 0);
}

static void a_pool_that_must_not_spin_expects_none(void)
{
    begin_anew(0);
    pool.spin_ns = 0;
    loops(20, MS);
    CHECK(due() == 0);
}

static void a_pool_on_one_cpu_expects_none(void)
{
    begin_anew(0);
    pool.cpus = 1;
    loops(20, MS);
    CHECK(due() == 0);
}

static void a_forked_child_expects_none(void)
{
    begin_anew(0);
    loops(20, MS);
    kt__rhythm_forget(&pool);
    CHECK(due() == 0);
    loops(1, MS);
    CHECK(due() == 0);
}

/* A worker of the pool. The last of many loops, at intervals of 20 ms, begins now. */
static struct kt__worker worker_in_rhythm(void)
{
    int64_t period = 20 * MS;
    begin_anew(kt__now() - 20 * period);
    loops(20, period);
    return (struct kt__worker){.pool = &pool};
}

static void a_worker_wakes_up_before_the_loop_and_waits_until_it_is_late(void)
{
    struct kt__worker worker = worker_in_rhythm();
    struct kt__expected expected = kt__rhythm_expect(&worker);
    CHECK(expected.due == due());
    CHECK(expected.wake_at < expected.due && expected.due - expected.wake_at <= 2 * MS);
    CHECK(expected.until > expected.due && expected.until - expected.due <= MS);
    CHECK(kt__rhythm_continues(&worker, &expected, true));
}

static void a_worker_does_not_wait_for_a_loop_that_has_begun(void)
{
    struct kt__worker worker = worker_in_rhythm();
    struct kt__expected expected = kt__rhythm_expect(&worker);
    loops(1, 20 * MS);
    CHECK(!kt__rhythm_continues(&worker, &expected, true));
}

static void a_worker_that_was_late_wakes_up_earlier(void)
{
    struct kt__worker worker = worker_in_rhythm();
    struct kt__expected before = kt__rhythm_expect(&worker);
    loops(1, 20 * MS);
    kt__rhythm_continues(&worker, &before, true);
    struct kt__expected after = kt__rhythm_expect(&worker);
    CHECK(after.due - after.wake_at > before.due - before.wake_at);
}

static void a_worker_that_waited_wakes_up_later(void)
{
    struct kt__worker worker = worker_in_rhythm();
    struct kt__expected before = kt__rhythm_expect(&worker);
    kt__rhythm_continues(&worker, &before, true);
    struct kt__expected after = kt__rhythm_expect(&worker);
    CHECK(after.due - after.wake_at < before.due - before.wake_at);
}

static void a_worker_ceases_to_wake_up_when_no_loop_comes(void)
{
    struct kt__worker worker = worker_in_rhythm();
    int wakes = 0;
    for (struct kt__expected expected; (expected = kt__rhythm_expect(&worker)).wake_at; wakes++) {
        CHECK(kt__rhythm_continues(&worker, &expected, true));
    }
    CHECK(wakes > 0 && wakes <= 8);
}

static void an_old_rhythm_wakes_no_worker(void)
{
    begin_anew(kt__now() - 1000 * (int64_t)MS);
    loops(20, MS);
    struct kt__worker worker = {.pool = &pool};
    CHECK(due() != 0 && kt__rhythm_expect(&worker).wake_at == 0);
}

static void a_worker_is_woken_for_a_rhythm_whose_loops_have_no_help(void)
{
    begin_anew(0);
    int woken = 0;
    for (int i = 0; i < 100; i++) {
        loops(1, MS);
        woken += kt__rhythm_recruits(&pool, true);
    }
    CHECK(woken > 0 && woken <= 10);
    for (int i = 0; i < 100; i++) {
        loops(1, MS);
        CHECK(!kt__rhythm_recruits(&pool, i % 3 == 0)); /* a worker that is late at times */
    }
}

static int get_slack(void)
{
    return prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
}

static int slack_of_a_worker(kt_pool *real)
{
    kt_task task = {.call = call_of(FUNCTION(get_slack), NULL)}, *tasks = &task;
    int rc;
    CHECK(kt_pool_submit(real, &tasks, 1, -1) == 1);
    while ((rc = kt_task_wait(&task, 0, -1)) == -EINTR) {
    }
    CHECK(rc == 0);
    return (int)task.call.result;
}

static uint64_t parks(kt_pool *real)
{
    kt_worker_stats stats[3];
    CHECK(kt_pool_stats(real, stats, 3) == 3);
    return stats[1].parks + stats[2].parks;
}

/* Has a worker run a task while loops are expected, which never come. Returns whether it has gone to sleep
 * more often than with a task alone: both may just have started, and it sleeps after the task. */
static int a_worker_wakes_up_by_itself(kt_pool *real)
{
    int64_t period = 20 * MS, end_at = kt__now() + 10 * period;
    uint64_t before = parks(real);
    atomic_store(&real->rhythm.period, period);
    atomic_store(&real->rhythm.due, kt__now() + period);
    CHECK(slack_of_a_worker(real) == get_slack());
    while (parks(real) < before + 4 && kt__now() < end_at) {
        sched_yield();
    }
    return parks(real) >= before + 4;
}

static void a_worker_that_expects_loops_wakes_up_and_keeps_its_timer_slack(void)
{
    kt_pool *real = new_pool(2, backends()[0], 16);
    while (!a_worker_wakes_up_by_itself(real)) { /* it may have been kept from running until all were over */
    }
    CHECK(slack_of_a_worker(real) == get_slack());
    end(real);
}

int main(void)
{
    RUN(loops_with_a_steady_gap_are_expected);
    RUN(a_gap_may_vary_by_a_twentieth);
    RUN(loops_with_irregular_gaps_are_not_expected);
    RUN(a_rhythm_survives_one_loop_out_of_time);
    RUN(another_rhythm_replaces_the_last_one);
    RUN(loops_that_follow_closely_are_expected_as_one);
    RUN(loops_at_long_intervals_are_not_expected);
    RUN(loops_without_work_for_helpers_are_not_expected);
    RUN(a_pool_that_must_not_spin_expects_none);
    RUN(a_pool_on_one_cpu_expects_none);
    RUN(a_forked_child_expects_none);
    RUN(a_worker_wakes_up_before_the_loop_and_waits_until_it_is_late);
    RUN(a_worker_does_not_wait_for_a_loop_that_has_begun);
    RUN(a_worker_that_was_late_wakes_up_earlier);
    RUN(a_worker_that_waited_wakes_up_later);
    RUN(a_worker_ceases_to_wake_up_when_no_loop_comes);
    RUN(an_old_rhythm_wakes_no_worker);
    RUN(a_worker_is_woken_for_a_rhythm_whose_loops_have_no_help);
    RUN(a_worker_that_expects_loops_wakes_up_and_keeps_its_timer_slack);
    return 0;
}
