/* Joins, detachment and cancellation. */
#include "cases.h"

#include <threads.h>

static void a_join_gives_the_value_that_the_routine_returns(void)
{
    CHECK(joined(make(NULL, same, (void *)UINTPTR_MAX)) == (void *)UINTPTR_MAX);
    CHECK(pthread_join(make(NULL, same, NULL), NULL) == 0);
}

static void *leave_with(void *argument)
{
    pthread_exit(argument);
}

static void a_join_gives_the_value_of_pthread_exit(void)
{
    for (int i = 0; i < 3; i++) {
        CHECK(joined(make(NULL, leave_with, &errno)) == &errno);
    }
}

static void a_cancelled_thread_gives_pthread_canceled(void)
{
    pthread_t thread = make(NULL, sleep_for_ever, NULL);
    CHECK(pthread_cancel(thread) == 0);
    CHECK(joined(thread) == PTHREAD_CANCELED);
}

static void *join_self(void *unused)
{
    (void)unused;
    return (void *)(intptr_t)pthread_join(pthread_self(), NULL);
}

static void a_thread_cannot_join_itself(void)
{
    CHECK(joined(make(NULL, join_self, NULL)) == (void *)EDEADLK);
    CHECK(pthread_join(pthread_self(), NULL) == EDEADLK);
}

/* The tid of the thread that calls join_it; 0 before. */
static atomic_int joiner_tid;

static void *join_it(void *thread)
{
    atomic_store(&joiner_tid, gettid());
    return (void *)(intptr_t)pthread_join((pthread_t)thread, NULL);
}

/* Waits until that thread is in its join, where alone it sleeps. */
static void await_joiner(void)
{
    while (!atomic_load(&joiner_tid)) {
        sched_yield();
    }
    await_sleep(atomic_load(&joiner_tid));
}

struct crossed {
    pthread_t first;
    atomic_int gate;
};

/* The second of two threads: it joins the first, which is joining it by then. */
static void *join_the_joiner(void *argument)
{
    struct crossed *crossed = argument;
    wait_at(&crossed->gate);
    return (void *)(intptr_t)pthread_join(crossed->first, NULL);
}

static void threads_that_join_each_other_are_told(void)
{
    struct crossed crossed = {.gate = 0};
    pthread_t second = make(NULL, join_the_joiner, &crossed);
    crossed.first = make(NULL, join_it, (void *)second);
    await_joiner();
    atomic_store(&crossed.gate, 1);
    CHECK(joined(crossed.first) == 0);
}

static void *join_main(void *main_thread)
{
    await_sleep(getpid());
    return (void *)(intptr_t)pthread_join((pthread_t)main_thread, NULL);
}

static void a_thread_that_the_main_thread_joins_cannot_join_it(void)
{
    CHECK(joined(make(NULL, join_main, (void *)pthread_self())) == (void *)EDEADLK);
}

static void the_main_thread_cannot_join_a_thread_that_joins_it(void)
{
    pthread_t thread = make(NULL, join_it, (void *)pthread_self());
    await_joiner();
    CHECK(pthread_join(thread, NULL) == EDEADLK);
    CHECK(pthread_cancel(thread) == 0);
    CHECK(joined(thread) == PTHREAD_CANCELED);
}

static void a_thread_that_was_joined_is_not_there(void)
{
    pthread_t thread = make(NULL, same, NULL);
    joined(thread);
    CHECK(pthread_join(thread, NULL) == ESRCH);
}

static void a_second_joiner_is_refused(void)
{
    atomic_int gate = 0;
    pthread_t thread = make(NULL, wait_at, &gate), joiner = make(NULL, join_it, (void *)thread);
    await_joiner();
    CHECK(pthread_join(thread, NULL) == EINVAL);
    CHECK(pthread_detach(thread) == EINVAL);
    atomic_store(&gate, 1);
    CHECK(joined(joiner) == 0);
}

static void a_detached_thread_cannot_be_joined(void)
{
    atomic_int gate = 0;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_t born_so = make(&attributes, wait_at, &gate), made_so = make(NULL, wait_at, &gate);
    CHECK(pthread_detach(made_so) == 0);
    CHECK(pthread_join(born_so, NULL) == EINVAL);
    CHECK(pthread_join(made_so, NULL) == EINVAL);
    CHECK(pthread_detach(born_so) == EINVAL);
    CHECK(pthread_detach(made_so) == EINVAL);
    atomic_store(&gate, 1);
}

static void a_try_finds_a_thread_busy_until_its_end(void)
{
    atomic_int gate = 0;
    void *value = NULL;
    int rc;
    pthread_t thread = make(NULL, wait_at, &gate);
    CHECK(pthread_tryjoin_np(thread, &value) == EBUSY);
    atomic_store(&gate, 1);
    while ((rc = pthread_tryjoin_np(thread, &value)) == EBUSY) {
        sched_yield();
    }
    CHECK(rc == 0 && value == &gate);
    CHECK(pthread_tryjoin_np(pthread_self(), NULL) == EBUSY);
}

static void a_join_ends_at_its_time_and_can_be_made_again(void)
{
    atomic_int gate = 0;
    void *value;
    pthread_t thread = make(NULL, wait_at, &gate);
    struct timespec soon = from_now(CLOCK_REALTIME, 1000000), monotonic = from_now(CLOCK_MONOTONIC, 1000000);
    struct timespec past = {.tv_sec = -1};
    CHECK(pthread_timedjoin_np(thread, NULL, &soon) == ETIMEDOUT);
    CHECK(pthread_clockjoin_np(thread, NULL, CLOCK_MONOTONIC, &monotonic) == ETIMEDOUT);
    CHECK(pthread_timedjoin_np(thread, NULL, &past) == ETIMEDOUT);
    atomic_store(&gate, 1);
    CHECK(pthread_clockjoin_np(thread, &value, CLOCK_MONOTONIC, NULL) == 0 && value == &gate);
    struct timespec late = from_now(CLOCK_REALTIME, 1000000000);
    late.tv_sec += 1000;
    CHECK(pthread_timedjoin_np(make(NULL, same, &late), &value, &late) == 0 && value == &late);
}

static void a_time_or_clock_that_is_none_is_refused(void)
{
    atomic_int gate = 0;
    pthread_t thread = make(NULL, wait_at, &gate);
    struct timespec bad = {.tv_nsec = 1000000000}, good = from_now(CLOCK_REALTIME, 1000000);
    CHECK(pthread_timedjoin_np(thread, NULL, &bad) == EINVAL);
    CHECK(pthread_clockjoin_np(thread, NULL, CLOCK_PROCESS_CPUTIME_ID, &good) == EINVAL);
    atomic_store(&gate, 1);
    joined(thread);
}

static void a_join_that_is_cancelled_leaves_the_thread_to_be_joined(void)
{
    atomic_int gate = 0;
    pthread_t thread = make(NULL, wait_at, &gate), joiner = make(NULL, join_it, (void *)thread);
    await_joiner();
    CHECK(pthread_cancel(joiner) == 0);
    CHECK(joined(joiner) == PTHREAD_CANCELED);
    atomic_store(&gate, 1);
    CHECK(joined(thread) == &gate);
}

static void no_call_changes_errno(void)
{
    errno = 4711;
    pthread_t thread = make(NULL, same, NULL);
    CHECK(errno == 4711);
    joined(thread);
    CHECK(errno == 4711);
    CHECK(pthread_detach(make(NULL, same, NULL)) == 0);
    CHECK(errno == 4711);
}

static void ignore(int signal)
{
    (void)signal;
}

static void signals_do_not_end_a_join(void)
{
    atomic_int gate = 0;
    struct sigaction action = {.sa_handler = ignore};
    sigaction(SIGUSR1, &action, NULL);
    pthread_t thread = make(NULL, wait_at, &gate), joiner = make(NULL, join_it, (void *)thread);
    await_joiner();
    for (int i = 0; i < 100; i++) {
        CHECK(pthread_kill(joiner, SIGUSR1) == 0);
        sched_yield();
    }
    atomic_store(&gate, 1);
    CHECK(joined(joiner) == 0);
}

static int returns_minus_seven(void *unused)
{
    (void)unused;
    return -7;
}

static int exits_with_nine(void *unused)
{
    (void)unused;
    thrd_exit(9);
}

static void threads_of_c11_are_made_joined_and_detached(void)
{
    thrd_t thread;
    int result;
    CHECK(thrd_create(&thread, returns_minus_seven, NULL) == thrd_success);
    CHECK(thrd_join(thread, &result) == thrd_success && result == -7);
    CHECK(thrd_create(&thread, exits_with_nine, NULL) == thrd_success);
    CHECK(thrd_join(thread, &result) == thrd_success && result == 9);
    CHECK(thrd_create(&thread, returns_minus_seven, NULL) == thrd_success);
    CHECK(thrd_join(thread, NULL) == thrd_success);
    CHECK(thrd_create(&thread, returns_minus_seven, NULL) == thrd_success);
    CHECK(thrd_detach(thread) == thrd_success);
    CHECK(thrd_join(thrd_current(), NULL) == thrd_error);
}

static const struct named_case cases[] = {
    CASE(a_join_gives_the_value_that_the_routine_returns),
    CASE(a_join_gives_the_value_of_pthread_exit),
    CASE(a_cancelled_thread_gives_pthread_canceled),
    CASE(a_thread_cannot_join_itself),
    CASE(threads_that_join_each_other_are_told),
    CASE(a_thread_that_the_main_thread_joins_cannot_join_it),
    CASE(the_main_thread_cannot_join_a_thread_that_joins_it),
    CASE(a_thread_that_was_joined_is_not_there),
    CASE(a_second_joiner_is_refused),
    CASE(a_detached_thread_cannot_be_joined),
    CASE(a_try_finds_a_thread_busy_until_its_end),
    CASE(a_join_ends_at_its_time_and_can_be_made_again),
    CASE(a_time_or_clock_that_is_none_is_refused),
    CASE(a_join_that_is_cancelled_leaves_the_thread_to_be_joined),
    CASE(no_call_changes_errno),
    CASE(signals_do_not_end_a_join),
    CASE(threads_of_c11_are_made_joined_and_detached),
};

MAIN(cases)
