/* Starting, joining, detaching and reusing threads, without Python. */
#define _GNU_SOURCE
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static atomic_int gate, count;

static void wait_until(atomic_int *word, int value)
{
    while (atomic_load(word) != value) {
        sched_yield();
    }
}

static int wait_for_gate(void *unused)
{
    (void)unused;
    wait_until(&gate, 1);
    return 7;
}

static long add_one(void *unused)
{
    (void)unused;
    atomic_fetch_add(&count, 1);
    return (long)syscall(SYS_gettid);
}

static void a_thread_returns_what_its_function_returned(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec spec = spec_for(*backend);
        kt_thread *thread = start(&spec, FUNCTION(add_one), NULL);
        int32_t tid = kt_thread_tid(thread);
        CHECK(tid > 0 && tid != (int32_t)syscall(SYS_gettid));
        CHECK((int32_t)finish(thread) == tid);
    }
}

static void joining_twice_is_an_error(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec spec = spec_for(*backend);
        kt_thread *thread = start(&spec, FUNCTION(add_one), NULL);
        CHECK(kt_thread_join(thread, -1, NULL) == 0);
        CHECK(kt_thread_join(thread, -1, NULL) == -EINVAL);
        CHECK(kt_thread_detach(thread) == -EINVAL);
        CHECK(kt_thread_wait(thread, -1, NULL) == 0);
        kt_thread_free(thread);
    }
}

static void a_join_can_be_tried_and_timed(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec spec = spec_for(*backend);
        atomic_store(&gate, 0);
        kt_thread *thread = start(&spec, FUNCTION(wait_for_gate), NULL);
        CHECK(kt_thread_join(thread, 0, NULL) == -ETIMEDOUT);
        CHECK(kt_thread_join(thread, 1000000, NULL) == -ETIMEDOUT);
        CHECK(kt_thread_alive(thread));
        atomic_store(&gate, 1);
        CHECK(finish(thread) == 7);
    }
}

static int join_itself(kt_thread *const volatile *self)
{
    wait_until(&gate, 1);
    return kt_thread_join(*self, -1, NULL);
}

static void joining_oneself_is_an_error(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec spec = spec_for(*backend);
        kt_thread *volatile self;
        atomic_store(&gate, 0);
        self = start(&spec, FUNCTION(join_itself), (void *)&self);
        atomic_store(&gate, 1);
        CHECK((int)finish(self) == -EDEADLK);
    }
}

static void detached_threads_run_and_are_recycled(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec spec = spec_for(*backend);
        kt_usage usage;
        atomic_store(&count, 0);
        for (int i = 0; i < 100; i++) {
            CHECK(kt_thread_detach(start(&spec, FUNCTION(add_one), NULL)) == 0);
        }
        wait_until(&count, 100);
        do {
            kt_trim();
            kt_usage_now(&usage);
        } while (usage.stacks > 0);
        CHECK(usage.detached == 0 && usage.mapped == 0);
    }
}

struct joiner {
    kt_thread *thread;
    int rc;
};

static int wait_for_thread(struct joiner *joiner)
{
    joiner->rc = kt_thread_wait(joiner->thread, -1, NULL);
    return 0;
}

static void many_threads_may_wait_for_one(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec spec = spec_for(*backend);
        kt_thread *waiters[8];
        struct joiner joiners[8];
        atomic_store(&gate, 0);
        kt_thread *thread = start(&spec, FUNCTION(wait_for_gate), NULL);
        for (int i = 0; i < 8; i++) {
            joiners[i] = (struct joiner){thread, -1};
            waiters[i] = start(&spec, FUNCTION(wait_for_thread), &joiners[i]);
        }
        atomic_store(&gate, 1);
        for (int i = 0; i < 8; i++) {
            finish(waiters[i]);
            CHECK(joiners[i].rc == 0);
        }
        CHECK(finish(thread) == 7);
    }
}

static void any_of_many_is_found(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec spec = spec_for(*backend);
        kt_thread *threads[5];
        atomic_store(&gate, 0);
        for (int i = 0; i < 5; i++) {
            threads[i] = start(&spec, i == 3 ? FUNCTION(add_one) : FUNCTION(wait_for_gate), NULL);
        }
        CHECK(kt_thread_wait_any(threads, 5, -1) == 3);
        CHECK(kt_thread_wait_any(threads, 3, 1000000) == -ETIMEDOUT);
        CHECK(kt_thread_wait_any(threads, 0, -1) == -EINVAL);
        atomic_store(&gate, 1);
        for (int i = 0; i < 5; i++) {
            finish(threads[i]);
        }
    }
}

static void a_bad_spec_is_refused(void)
{
    kt_thread *thread;
    kt_call call = call_of(FUNCTION(add_one), NULL), none = {0};
    kt_spec good = spec_for(KT_BACKEND_PTHREAD);
    kt_spec bad[] = {good, good, good, good, good};
    bad[0].flags |= CLONE_VFORK;
    bad[1].stack_size = 1;
    bad[2].backend = 9;
    bad[3].flags |= CLONE_NEWNS;
    bad[4].cpus_size = 8;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(kt_thread_start(&thread, &bad[i], &call) == -EINVAL);
    }
    CHECK(kt_thread_start(&thread, &good, &none) == -EINVAL);
    CHECK(kt_thread_start(NULL, &good, &call) == -EINVAL);
}

static void a_parked_thread_is_started_again(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec spec = spec_for(*backend);
        spec.options = KT_OPTION_REUSE;
        kt_thread *first = start(&spec, FUNCTION(add_one), NULL);
        CHECK(!kt_thread_reused(first));
        uint64_t tid = finish(first);
        kt_thread *second = start(&spec, FUNCTION(add_one), NULL);
        kt_libc libc;
        kt_libc_probe(&libc);
        CHECK(kt_thread_reused(second) == libc.destructors);
        CHECK((finish(second) == tid) == libc.destructors);
        kt_trim();
    }
}

static void a_bare_thread_runs_a_leaf_function(void)
{
    kt_spec spec = spec_for(KT_BACKEND_BARE_WITHOUT_LIBC);
    if (kt_features() & KT_FEATURE_SANITIZED) {
        return;
    }
    atomic_store(&gate, 1);
    CHECK(finish(start(&spec, FUNCTION(wait_for_gate), NULL)) == 7);
}

/* The largest address space that stacks may take when the threads have ended: what is kept for later threads,
 * and what the last ones to end leave. */
enum { KEPT = 64 + 16, STACK = 64 << 20 };

static void later_starts_unmap_the_stacks_of_detached_threads_that_ended_together(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec spec = spec_for(*backend);
        kt_usage usage;
        kt_trim();
        spec.stack_size = STACK;
        atomic_store(&gate, 0);
        for (int i = 0; i < 2 * KEPT; i++) {
            kt_thread_free(start(&spec, FUNCTION(wait_for_gate), NULL));
        }
        atomic_store(&gate, 1);
        do {
            spec.stack_size = 0;
            finish(start(&spec, FUNCTION(add_one), NULL));
            kt_usage_now(&usage);
        } while (usage.mapped > (size_t)KEPT * (STACK + (1 << 20)));
    }
}

static int child_of_fork(const kt_spec *spec, kt_thread *left_behind)
{
    CHECK(!kt_thread_alive(left_behind));
    kt_thread_free(left_behind);
    CHECK(finish(start(spec, FUNCTION(add_one), NULL)) > 0);
    return 0;
}

static void a_forked_child_sees_only_itself_and_can_make_threads(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec spec = spec_for(*backend);
        int status;
        atomic_store(&gate, 0);
        kt_thread *thread = start(&spec, FUNCTION(wait_for_gate), NULL);
        pid_t pid = fork();
        if (pid == 0) {
            _exit(child_of_fork(&spec, thread));
        }
        CHECK(waitpid(pid, &status, 0) == pid && status == 0);
        atomic_store(&gate, 1);
        CHECK(finish(thread) == 7);
    }
}

int main(void)
{
    if (kt_libc_probe(NULL) < 0) {
        fprintf(stderr, "libc is not understood: %s\n", kt_libc_missing());
        return 1;
    }
    RUN(a_thread_returns_what_its_function_returned);
    RUN(joining_twice_is_an_error);
    RUN(a_join_can_be_tried_and_timed);
    RUN(joining_oneself_is_an_error);
    RUN(detached_threads_run_and_are_recycled);
    RUN(later_starts_unmap_the_stacks_of_detached_threads_that_ended_together);
    RUN(many_threads_may_wait_for_one);
    RUN(any_of_many_is_found);
    RUN(a_bad_spec_is_refused);
    RUN(a_parked_thread_is_started_again);
    RUN(a_bare_thread_runs_a_leaf_function);
    if (makes_threads_after_fork()) {
        RUN(a_forked_child_sees_only_itself_and_can_make_threads);
    }
    return 0;
}
