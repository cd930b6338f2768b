/* What a thread can be given as an attribute of pthread_create(3), and how it is found, joined and detached.
 */
#define _GNU_SOURCE
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>

#define BIT(signal) (UINT64_C(1) << ((signal) - 1))
#define LIBCS       (BIT(32) | BIT(33)) /* the signals of libc, which no thread blocks */

static kt_thread *start_routine(const kt_spec *spec, kt_routine routine, void *argument)
{
    kt_thread *thread;
    CHECK(kt_thread_start_routine(&thread, spec, routine, argument) == 0);
    return thread;
}

static void *exit_value(kt_thread *thread)
{
    kt_outcome outcome;
    while (kt_thread_join(thread, -1, &outcome) == -EINTR) {
    }
    kt_thread_free(thread);
    return outcome.exit_value;
}

static void *same(void *argument)
{
    return argument;
}

static void *leave_with(void *argument)
{
    pthread_exit(argument);
}

static void *wait_at(void *argument)
{
    atomic_int *gate = argument;
    while (!atomic_load(gate)) {
        sched_yield();
    }
    return argument;
}

static bool is_sanitized(void)
{
    return kt_features() & KT_FEATURE_SANITIZED;
}

/* AddressSanitizer's pthread_create starts a thread with a routine of its own. */
static bool is_findable(int backend)
{
#ifdef __SANITIZE_ADDRESS__
    return backend != KT_BACKEND_PTHREAD;
#else
    (void)backend;
    return !is_sanitized();
#endif
}

/* AddressSanitizer reports its own frames on the stack of a thread that it has not made, when the thread
 * registers a cleanup handler. */
static bool joins_can_be_cancelled(void)
{
#ifdef __SANITIZE_ADDRESS__
    return false;
#else
    return !is_sanitized();
#endif
}

static void a_start_routine_of_pthreads_type_returns_a_pointer(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec spec = spec_for(*backend);
        void *there = (void *)UINTPTR_MAX;
        CHECK(exit_value(start_routine(&spec, same, there)) == there);
        CHECK(exit_value(start_routine(&spec, same, &spec)) == &spec);
    }
}

static void the_value_of_pthread_exit_is_the_exit_value(void)
{
    for (const int *backend = backends(); *backend >= 0 && !is_sanitized(); backend++) {
        kt_spec spec = spec_for(*backend);
        for (int reuse = 0; reuse < 2; reuse++) {
            spec.options = reuse ? KT_OPTION_REUSE : 0;
            CHECK(exit_value(start_routine(&spec, leave_with, &spec)) == &spec);
            CHECK(exit_value(start_routine(&spec, leave_with, NULL)) == NULL);
        }
    }
}

static void *sleep_for_ever(void *unused)
{
    for (;;) {
        pause();
    }
    return unused;
}

static void a_cancelled_thread_has_the_exit_value_of_cancellation(void)
{
    for (const int *backend = backends(); *backend >= 0 && !is_sanitized(); backend++) {
        kt_spec spec = spec_for(*backend);
        kt_thread *thread = start_routine(&spec, sleep_for_ever, NULL);
        CHECK(pthread_cancel((pthread_t)kt_thread_ident(thread)) == 0);
        CHECK(exit_value(thread) == PTHREAD_CANCELED);
    }
}

static void *mask_here(void *unused)
{
    (void)unused;
    uint64_t mask = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, sizeof mask);
    return (void *)(uintptr_t)mask;
}

/* What the kernel makes of a mask. Under qemu-user it cannot block the signals that qemu keeps for itself. */
static uint64_t as_the_kernel_keeps(uint64_t mask)
{
    uint64_t before, kept;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &before, sizeof mask);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, &kept, sizeof mask);
    return kept;
}

static void a_thread_has_the_mask_of_its_spec_and_the_starter_keeps_its_own(void)
{
    const uint64_t masks[] = {0, BIT(SIGUSR1), ~(BIT(SIGKILL) | BIT(SIGSTOP))};
    for (const int *backend = backends(); *backend >= 0; backend++) {
        for (size_t i = 0; i < 2 * sizeof masks / sizeof masks[0]; i++) {
            kt_spec spec = spec_for(*backend);
            spec.signals = &masks[i / 2];
            spec.options = i % 2 ? KT_OPTION_REUSE : 0; /* the second of these runs on a parked thread */
            void *before = mask_here(NULL);
            CHECK((uintptr_t)exit_value(start_routine(&spec, mask_here, NULL)) ==
                  as_the_kernel_keeps(masks[i / 2] & ~LIBCS));
            CHECK(mask_here(NULL) == before);
        }
    }
}

static void *address_of_a_local(void *unused)
{
    char local;
    char *volatile address = &local;
    (void)unused;
    return address;
}

static void a_thread_runs_on_the_callers_stack_and_leaves_it_to_the_caller(void)
{
    enum { SIZE = 256 << 10 };
    for (const int *backend = backends(); *backend >= 0 && !is_sanitized(); backend++) {
        char *stack = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        CHECK(stack != MAP_FAILED);
        for (int round = 0; round < 2; round++) {
            kt_spec spec = spec_for(*backend);
            spec.stack = stack;
            spec.stack_size = SIZE;
            spec.options = KT_OPTION_REUSE; /* has no effect: a parked thread would keep the stack */
            char *local = exit_value(start_routine(&spec, address_of_a_local, NULL));
            CHECK(local >= stack && local < stack + SIZE);
        }
        CHECK(munmap(stack, SIZE) == 0);
        CHECK(finish(start(&(kt_spec){.flags = SHARE_ALL, .backend = *backend}, FUNCTION(same), stack)) ==
              (uintptr_t)stack);
    }
}

static void a_stack_of_the_caller_without_room_is_refused(void)
{
    static char stack[1 << 20];
    kt_thread *thread;
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec good = spec_for(*backend), bad[] = {good, good, good};
        bad[0].stack_size = 0;
        bad[1].stack_size = KT_STACK_MINIMUM - 1;
        bad[2].stack_size = sizeof stack;
        bad[2].options = KT_OPTION_ALTSTACK;
        for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
            bad[i].stack = stack;
            CHECK(kt_thread_start_routine(&thread, &bad[i], same, NULL) == -EINVAL);
        }
    }
}

static void touch_below(char *low, size_t distance)
{
    *(volatile char *)(low - distance) = 1;
}

static void *touch_the_guard(void *distance)
{
    pthread_attr_t attributes;
    void *low;
    size_t size;
    CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
    CHECK(pthread_attr_getstack(&attributes, &low, &size) == 0);
    touch_below(low, (size_t)distance);
    return NULL;
}

static bool dies_of_a_touch(int backend, size_t guard_size, size_t distance)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL); /* AddressSanitizer has a handler */
        prctl(PR_SET_DUMPABLE, 0);
        kt_spec spec = spec_for(backend);
        spec.guard_size = guard_size;
        spec.stack_size = 64 << 10;
        start_routine(&spec, same, NULL); /* whatever is below the lowest stack: the next one has one below */
        exit_value(start_routine(&spec, touch_the_guard, (void *)distance));
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

static void a_guard_is_as_large_as_the_spec_says_and_never_smaller_than_the_default(void)
{
    enum { LARGE = 1 << 20 };
    for (const int *backend = backends(); *backend >= 0 && makes_threads_after_fork(); backend++) {
        CHECK(dies_of_a_touch(*backend, 0, KT_GUARD_DEFAULT));
        CHECK(dies_of_a_touch(*backend, 4096, KT_GUARD_DEFAULT));
        CHECK(!dies_of_a_touch(*backend, 0, KT_GUARD_DEFAULT + 1)); /* there is the next alternate stack */
        CHECK(dies_of_a_touch(*backend, LARGE, LARGE));
        CHECK(!dies_of_a_touch(*backend, LARGE, LARGE + 1));
    }
}

static void *policy_here(void *unused)
{
    (void)unused;
    return (void *)(intptr_t)sched_getscheduler(0);
}

static void a_thread_has_the_policy_of_its_spec(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec spec = spec_for(*backend);
        spec.policy = SCHED_BATCH;
        CHECK((intptr_t)exit_value(start_routine(&spec, policy_here, NULL)) == SCHED_OTHER);
        spec.options = KT_OPTION_SCHEDULE | KT_OPTION_REUSE;
        CHECK((intptr_t)exit_value(start_routine(&spec, policy_here, NULL)) == SCHED_BATCH);
        spec.options = KT_OPTION_REUSE;
        CHECK((intptr_t)exit_value(start_routine(&spec, policy_here, NULL)) == SCHED_OTHER);
    }
}

static void a_policy_that_the_kernel_refuses_fails_the_start(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_thread *thread = (kt_thread *)&backend;
        kt_spec spec = spec_for(*backend);
        spec.options = KT_OPTION_SCHEDULE;
        spec.policy = SCHED_OTHER;
        spec.priority = 1;
        CHECK(kt_thread_start_routine(&thread, &spec, same, NULL) == -EINVAL);
        CHECK(thread == NULL);
    }
}

static _Atomic(uintptr_t) told;

static void *is_self_told(void *unused)
{
    (void)unused;
    return (void *)(uintptr_t)(atomic_load(&told) == (uintptr_t)pthread_self());
}

static void the_ident_is_told_before_the_thread_runs(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        if (*backend == KT_BACKEND_PTHREAD) {
            continue; /* libc stores it there when pthread_create returns */
        }
        for (int round = 0; round < 3; round++) {
            kt_spec spec = spec_for(*backend);
            spec.ident = (uintptr_t *)&told;
            spec.options = round ? KT_OPTION_REUSE : 0;
            atomic_store(&told, 0);
            CHECK(exit_value(start_routine(&spec, is_self_told, NULL)) == (void *)1);
        }
    }
}

static void *find_self(void *unused)
{
    (void)unused;
    return kt_thread_of((uintptr_t)pthread_self());
}

static void a_thread_is_found_by_its_ident(void)
{
    for (const int *backend = backends(); *backend >= 0 && is_findable(*backend); backend++) {
        kt_spec spec = spec_for(*backend);
        for (int reuse = 0; reuse < 3; reuse++) {
            spec.options = reuse ? KT_OPTION_REUSE : 0;
            kt_thread *thread = start_routine(&spec, find_self, NULL);
            CHECK(kt_thread_of(kt_thread_ident(thread)) == thread);
            CHECK(exit_value(thread) == thread);
        }
    }
}

static void threads_of_others_are_not_found(void)
{
    pthread_t pthread;
    void *found;
    CHECK(kt_libc_probe(NULL) == 0 || is_sanitized());
    CHECK(kt_thread_of(0) == NULL);
    CHECK(find_self(NULL) == NULL);
    CHECK(pthread_create(&pthread, NULL, find_self, NULL) == 0);
    CHECK(kt_thread_of((uintptr_t)pthread) == NULL);
    CHECK(pthread_join(pthread, &found) == 0 && found == NULL);
}

static void await_recycling(void)
{
    kt_usage usage;
    do {
        kt_trim();
        kt_usage_now(&usage);
        sched_yield();
    } while (usage.stacks > 0);
}

static atomic_int detached_by_self;

static void *try_to_detach_self(void *argument)
{
    atomic_int *gate = argument;
    atomic_store(&detached_by_self, kt_thread_detach(kt_thread_of((uintptr_t)pthread_self())));
    atomic_store(gate, 1);
    return NULL;
}

static void a_thread_that_starts_detached_is_recycled_and_claimed_by_nobody(void)
{
    for (const int *backend = backends(); *backend >= 0 && is_findable(*backend); backend++) {
        for (int reuse = 0; reuse < 2; reuse++) {
            atomic_int gate = 0;
            kt_spec spec = spec_for(*backend);
            spec.options = KT_OPTION_DETACHED | (reuse ? KT_OPTION_REUSE : 0);
            start_routine(&spec, try_to_detach_self, &gate);
            wait_at(&gate);
            CHECK(atomic_load(&detached_by_self) == -EINVAL);
            await_recycling();
        }
    }
}

struct race {
    kt_thread *thread;
    atomic_int gate, detached, begun;
};

static void *detach_in_a_race(void *argument)
{
    struct race *race = argument;
    atomic_fetch_add(&race->begun, 1);
    wait_at(&race->gate);
    if (kt_thread_detach(race->thread) == 0) {
        atomic_fetch_add(&race->detached, 1);
    }
    return NULL;
}

static void one_of_many_threads_detaches_a_thread(void)
{
    enum { RIVALS = 4, ROUNDS = 200 };
    kt_spec spec = spec_for(backends()[0]);
    for (int round = 0; round < ROUNDS; round++) {
        atomic_int end = 0;
        kt_thread *rivals[RIVALS];
        struct race race = {.thread = start_routine(&spec, wait_at, &end)};
        for (int i = 0; i < RIVALS; i++) {
            rivals[i] = start_routine(&spec, detach_in_a_race, &race);
        }
        while (atomic_load(&race.begun) < RIVALS) {
            sched_yield();
        }
        atomic_store(&race.gate, 1);
        for (int i = 0; i < RIVALS; i++) {
            exit_value(rivals[i]);
        }
        CHECK(atomic_load(&race.detached) == 1);
        atomic_store(&end, 1);
        await_recycling();
    }
}

static void *join_it(void *thread)
{
    kt_outcome outcome;
    int rc;
    do { /* -EINVAL: await_joiner is at it, and is the one joiner for that moment */
        rc = kt_thread_join_cancellable(thread, -1, &outcome);
    } while (rc == -EINTR || rc == -EINVAL);
    return outcome.exit_value;
}

static void await_joiner(kt_thread *thread)
{
    while (kt_thread_join(thread, 0, NULL) != -EINVAL) {
        sched_yield();
    }
}

static void a_join_that_is_cancelled_leaves_the_thread_to_be_joined(void)
{
    for (const int *backend = backends(); *backend >= 0 && joins_can_be_cancelled(); backend++) {
        for (int reuse = 0; reuse < 2; reuse++) {
            atomic_int end = 0;
            kt_spec spec = spec_for(*backend);
            spec.options = reuse ? KT_OPTION_REUSE : 0;
            kt_thread *thread = start_routine(&spec, wait_at, &end);
            kt_thread *joiner = start_routine(&spec, join_it, thread);
            await_joiner(thread);
            CHECK(pthread_cancel((pthread_t)kt_thread_ident(joiner)) == 0);
            CHECK(exit_value(joiner) == PTHREAD_CANCELED);
            CHECK(kt_thread_alive(thread));
            atomic_store(&end, 1);
            CHECK(exit_value(thread) == &end);
        }
    }
}

static void *join_with_a_request_pending(void *thread)
{
    CHECK(pthread_cancel(pthread_self()) == 0);
    return join_it(thread);
}

static void a_join_acts_on_a_request_that_came_before_it(void)
{
    for (const int *backend = backends(); *backend >= 0 && joins_can_be_cancelled(); backend++) {
        atomic_int end = 0;
        kt_spec spec = spec_for(*backend);
        kt_thread *thread = start_routine(&spec, wait_at, &end);
        CHECK(exit_value(start_routine(&spec, join_with_a_request_pending, thread)) == PTHREAD_CANCELED);
        atomic_store(&end, 1);
        CHECK(exit_value(thread) == &end);
    }
}

struct pair {
    kt_thread *threads[2];
    atomic_int arrived, deadlocks, is_joined;
};

/* Joins the other of a pair, and counts -EDEADLK. */
static void *join_the_other(void *argument)
{
    struct pair *pair = argument;
    int rc;
    atomic_fetch_add(&pair->arrived, 1);
    while (atomic_load(&pair->arrived) < 3) {
        sched_yield();
    }
    kt_thread *other = pair->threads[pair->threads[0] == kt_thread_of((uintptr_t)pthread_self())];
    while ((rc = kt_thread_join(other, -1, NULL)) == -EINTR) {
    }
    if (rc == -EDEADLK) {
        atomic_fetch_add(&pair->deadlocks, 1);
    } else {
        CHECK(rc == 0);
    }
    return NULL;
}

static void threads_that_join_each_other_are_told(void)
{
    enum { ROUNDS = 100 };
    for (const int *backend = backends(); *backend >= 0 && is_findable(*backend); backend++) {
        for (int round = 0; round < ROUNDS; round++) {
            struct pair pair = {0};
            kt_spec spec = spec_for(*backend);
            spec.options = round % 2 ? KT_OPTION_REUSE : 0;
            for (int i = 0; i < 2; i++) {
                pair.threads[i] = start_routine(&spec, join_the_other, &pair);
            }
            atomic_fetch_add(&pair.arrived, 1);
            for (int i = 0; i < 2; i++) {
                while (kt_thread_wait(pair.threads[i], -1, NULL) == -EINTR) {
                }
            }
            for (int i = 0; i < 2; i++) {
                kt_thread_free(pair.threads[i]);
            }
            CHECK(atomic_load(&pair.deadlocks) >= 1);
        }
    }
}

static void *cancel_and_join(void *argument)
{
    struct pair *pair = argument;
    wait_at(&pair->is_joined);
    kt_thread *joiner = pair->threads[1];
    CHECK(kt_thread_cancel(joiner) == 0);
    CHECK(exit_value(joiner) == PTHREAD_CANCELED);
    return NULL;
}

static void *join_first(void *argument)
{
    struct pair *pair = argument;
    wait_at(&pair->arrived);
    return join_it(pair->threads[0]);
}

static void a_thread_may_join_its_joiner_when_it_has_cancelled_it(void)
{
    for (const int *backend = backends(); *backend >= 0 && joins_can_be_cancelled(); backend++) {
        struct pair pair = {0};
        kt_spec spec = spec_for(*backend);
        pair.threads[1] = start_routine(&spec, join_first, &pair);
        pair.threads[0] = start_routine(&spec, cancel_and_join, &pair);
        atomic_store(&pair.arrived, 1);
        await_joiner(pair.threads[0]);
        atomic_store(&pair.is_joined, 1);
        while (kt_thread_wait(pair.threads[0], -1, NULL) == -EINTR) {
        }
        kt_thread_free(pair.threads[0]);
    }
}

static void a_pool_takes_no_spec_that_is_for_one_thread(void)
{
    static char stack[1 << 20];
    uintptr_t ident;
    kt_pool *pool;
    kt_spec good = spec_for(backends()[0]), bad[] = {good, good, good};
    bad[0].stack = stack;
    bad[0].stack_size = sizeof stack;
    bad[1].ident = &ident;
    bad[2].options = KT_OPTION_DETACHED;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kt_pool_spec spec = {.workers = 2, .queue_size = 1, .thread = &bad[i]};
        CHECK(kt_pool_new(&pool, &spec) == -EINVAL);
    }
}

int main(void)
{
    RUN(a_start_routine_of_pthreads_type_returns_a_pointer);
    RUN(the_value_of_pthread_exit_is_the_exit_value);
    RUN(a_cancelled_thread_has_the_exit_value_of_cancellation);
    RUN(a_thread_has_the_mask_of_its_spec_and_the_starter_keeps_its_own);
    RUN(a_thread_runs_on_the_callers_stack_and_leaves_it_to_the_caller);
    RUN(a_stack_of_the_caller_without_room_is_refused);
    RUN(a_guard_is_as_large_as_the_spec_says_and_never_smaller_than_the_default);
    RUN(a_thread_has_the_policy_of_its_spec);
    RUN(a_policy_that_the_kernel_refuses_fails_the_start);
    RUN(the_ident_is_told_before_the_thread_runs);
    RUN(a_thread_is_found_by_its_ident);
    RUN(threads_of_others_are_not_found);
    RUN(a_thread_that_starts_detached_is_recycled_and_claimed_by_nobody);
    RUN(one_of_many_threads_detaches_a_thread);
    RUN(a_join_that_is_cancelled_leaves_the_thread_to_be_joined);
    RUN(a_join_acts_on_a_request_that_came_before_it);
    RUN(threads_that_join_each_other_are_told);
    RUN(a_thread_may_join_its_joiner_when_it_has_cancelled_it);
    RUN(a_pool_takes_no_spec_that_is_for_one_thread);
    return 0;
}
