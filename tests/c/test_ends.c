/* The ends of threads: what must have happened before a waiter returns. */
#define _GNU_SOURCE
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>

static atomic_int gate, passes, objects;
static pthread_key_t key;

static void wait_for_gate(void)
{
    while (!atomic_load(&gate)) {
        sched_yield();
    }
}

static void return_at_once(void)
{
}

static void exit_at_once(void)
{
    pthread_exit(NULL);
}

static int exit_when_compared(const void *a, const void *b)
{
    (void)a, (void)b;
    pthread_exit(NULL);
}

/* Through qsort's frames: qsort may have allocated memory. */
static void exit_in_a_nested_call(void)
{
    char letters[] = "nested";
    qsort(letters, sizeof letters, 1, exit_when_compared);
}

static void cancel_itself(void)
{
    pthread_cancel(pthread_self());
    pthread_testcancel();
}

static void fork_and_return(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void (*const ways[])(void) = {return_at_once, exit_at_once, exit_in_a_nested_call, cancel_itself,
                                     fork_and_return};

typedef void (*body_of_test)(const kt_spec *spec, void (*way)(void));

/* Runs a test for each backend, with and without reuse, on a new thread and on one that was parked. */
static void in_every_way(body_of_test test)
{
    for (size_t way = 0; way < sizeof ways / sizeof ways[0]; way++) {
        if (ways[way] == fork_and_return && !makes_threads_after_fork()) {
            continue;
        }
        for (const int *backend = backends(); *backend >= 0; backend++) {
            kt_spec spec = spec_for(*backend);
            test(&spec, ways[way]);
            spec.options = KT_OPTION_REUSE;
            finish(start(&spec, FUNCTION(return_at_once), NULL));
            test(&spec, ways[way]);
            kt_trim();
            test(&spec, ways[way]);
        }
    }
}

static void wait_for(kt_thread *thread)
{
    while (kt_thread_wait(thread, -1, NULL) == -EINTR) {
    }
}

/* Sets its value again as often as libc allows. */
static void destroy_at_gate(void *value)
{
    wait_for_gate();
    pthread_setspecific(key, value);
    atomic_fetch_add(&passes, 1);
}

static void end_with_a_value(void (*way)(void))
{
    CHECK(pthread_getspecific(key) == NULL);
    CHECK(pthread_setspecific(key, &gate) == 0);
    way();
}

static void all_passes_over_keys_are_waited_for(const kt_spec *spec, void (*way)(void))
{
    atomic_store(&gate, 0);
    atomic_store(&passes, 0);
    kt_thread *thread = start(spec, FUNCTION(end_with_a_value), (void *)(uintptr_t)way);
    CHECK(kt_thread_wait(thread, 10000000, NULL) == -ETIMEDOUT);
    CHECK(kt_thread_wait_any(&thread, 1, 1000000) == -ETIMEDOUT);
    CHECK(kt_thread_alive(thread));
    atomic_store(&gate, 1);
    wait_for(thread);
    CHECK(atomic_load(&passes) == 4 /* PTHREAD_DESTRUCTOR_ITERATIONS */);
    CHECK(!kt_thread_alive(thread));
    kt_thread_free(thread);
}

static void an_end_comes_after_the_destructors_of_keys(void)
{
    CHECK(pthread_key_create(&key, destroy_at_gate) == 0);
    in_every_way(all_passes_over_keys_are_waited_for);
    pthread_key_delete(key);
}

/* The call that a C++ compiler emits for a thread_local object with a destructor. */
extern int __cxa_thread_atexit_impl(void (*destroy)(void *), void *object, void *module);
extern void *__dso_handle __attribute__((visibility("hidden")));

static void destroy_object(void *unused)
{
    (void)unused;
    wait_for_gate();
    atomic_fetch_add(&objects, 1);
}

static void end_with_an_object(void (*way)(void))
{
    CHECK(__cxa_thread_atexit_impl(destroy_object, NULL, &__dso_handle) == 0);
    way();
}

static void objects_are_waited_for(const kt_spec *spec, void (*way)(void))
{
    atomic_store(&gate, 0);
    atomic_store(&objects, 0);
    kt_thread *thread = start(spec, FUNCTION(end_with_an_object), (void *)(uintptr_t)way);
    CHECK(kt_thread_wait(thread, 10000000, NULL) == -ETIMEDOUT);
    atomic_store(&gate, 1);
    wait_for(thread);
    CHECK(atomic_load(&objects) == 1);
    kt_thread_free(thread);
}

static void an_end_comes_after_the_destructors_of_thread_local_objects(void)
{
    in_every_way(objects_are_waited_for);
}

static void make_an_object(void *unused)
{
    (void)unused;
    CHECK(__cxa_thread_atexit_impl(destroy_object, NULL, &__dso_handle) == 0);
}

static void objects_made_by_a_destructor_do_not_outlive_the_run(void)
{
    kt_spec spec = spec_for(backends()[0]);
    spec.options = KT_OPTION_REUSE;
    CHECK(pthread_key_create(&key, make_an_object) == 0);
    atomic_store(&gate, 1);
    finish(start(&spec, FUNCTION(end_with_a_value), (void *)(uintptr_t)return_at_once));
    atomic_store(&objects, 0);
    finish(start(&spec, FUNCTION(return_at_once), NULL));
    CHECK(atomic_load(&objects) == 0);
    pthread_key_delete(key);
}

static char order[8];
static atomic_int noted;

static void note(void *letter)
{
    order[atomic_fetch_add(&noted, 1)] = *(const char *)letter;
}

static void end_with_handlers(void (*way)(void))
{
    pthread_setspecific(key, (void *)(uintptr_t)"k");
    pthread_cleanup_push(note, (void *)(uintptr_t)"o");
    pthread_cleanup_push(note, (void *)(uintptr_t)"i");
    way();
    pthread_cleanup_pop(1);
    pthread_cleanup_pop(1);
}

static void handlers_run_in_order(const kt_spec *spec, void (*way)(void))
{
    memset(order, 0, sizeof order);
    atomic_store(&noted, 0);
    kt_thread *thread = start(spec, FUNCTION(end_with_handlers), (void *)(uintptr_t)way);
    wait_for(thread);
    CHECK(strcmp(order, "iok") == 0);
    kt_thread_free(thread);
}

static void cleanup_handlers_run_inside_out_and_before_destructors(void)
{
    CHECK(pthread_key_create(&key, note) == 0);
    in_every_way(handlers_run_in_order);
    pthread_key_delete(key);
}

struct held {
    void (*way)(void);
    pthread_mutex_t normal, inheriting;
};

static void make_robust(pthread_mutex_t *mutex, int protocol)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setprotocol(&attributes, protocol);
    CHECK(pthread_mutex_init(mutex, &attributes) == 0);
    pthread_mutexattr_destroy(&attributes);
}

static void end_as_owner(struct held *held)
{
    CHECK(pthread_mutex_lock(&held->normal) == 0);
    CHECK(pthread_mutex_lock(&held->inheriting) == 0);
    held->way();
}

static void check_dead(pthread_mutex_t *mutex)
{
    CHECK(pthread_mutex_trylock(mutex) == EOWNERDEAD);
    pthread_mutex_consistent(mutex);
    pthread_mutex_unlock(mutex);
    pthread_mutex_destroy(mutex);
}

static void owners_are_seen_as_dead(const kt_spec *spec, void (*way)(void))
{
    struct held held = {.way = way};
    make_robust(&held.normal, PTHREAD_PRIO_NONE);
    make_robust(&held.inheriting, PTHREAD_PRIO_INHERIT);
    kt_thread *thread = start(spec, FUNCTION(end_as_owner), &held);
    wait_for(thread);
    check_dead(&held.normal);
    check_dead(&held.inheriting);
    kt_thread_free(thread);
}

static void an_end_comes_after_robust_mutexes_are_marked(void)
{
    for (int i = 0; i < 5; i++) {
        in_every_way(owners_are_seen_as_dead);
    }
}

enum { WAITERS = 8 };

static int wait_and_look(kt_thread *thread)
{
    wait_for(thread);
    return atomic_load(&passes);
}

static int wait_for_any_and_look(kt_thread *thread)
{
    kt_thread *both[2] = {thread, thread};
    while (kt_thread_wait_any(both, 2, -1) == -EINTR) {
    }
    return atomic_load(&passes);
}

static void every_waiter_is_told(const kt_spec *spec, void (*way)(void))
{
    kt_spec plain = spec_for(spec->backend);
    kt_thread *waiters[WAITERS];
    atomic_store(&gate, 0);
    atomic_store(&passes, 0);
    kt_thread *thread = start(spec, FUNCTION(end_with_a_value), (void *)(uintptr_t)way);
    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = start(&plain, i % 2 ? FUNCTION(wait_and_look) : FUNCTION(wait_for_any_and_look), thread);
    }
    atomic_store(&gate, 1);
    for (int i = 0; i < WAITERS; i++) {
        CHECK(finish(waiters[i]) == 4);
    }
    kt_thread_free(thread);
}

static void all_who_wait_are_told_of_the_end_and_not_before(void)
{
    CHECK(pthread_key_create(&key, destroy_at_gate) == 0);
    in_every_way(every_waiter_is_told);
    pthread_key_delete(key);
}

static void wait_until_recycled(size_t stacks)
{
    kt_usage usage;
    do {
        sched_yield();
        kt_trim();
        kt_usage_now(&usage);
    } while (usage.stacks > stacks);
}

static void detached_threads_are_recycled(const kt_spec *spec, void (*way)(void))
{
    kt_usage usage;
    kt_trim();
    kt_usage_now(&usage);
    size_t before = usage.stacks;
    for (int i = 0; i < 20; i++) {
        kt_thread *thread = start(spec, FUNCTION(way), NULL);
        kt_thread_detach(thread);
    }
    wait_until_recycled(before);
}

static void a_detached_thread_is_recycled_whichever_way_it_ends(void)
{
    in_every_way(detached_threads_are_recycled);
}

struct own {
    kt_thread *handle; /* stored before the function runs */
    void (*way)(void);
};

static void detach_itself(struct own *own)
{
    CHECK(kt_thread_detach(own->handle) == 0);
    own->way();
}

static void trim_until_gate(void)
{
    while (!atomic_load(&gate)) {
        kt_trim();
    }
}

static void starts_of_threads_that_detach_themselves(const kt_spec *spec, void (*way)(void))
{
    kt_spec plain = spec_for(spec->backend);
    struct own own[50];
    atomic_store(&gate, 0);
    kt_thread *other = start(&plain, FUNCTION(trim_until_gate), NULL);
    for (int i = 0; i < 50; i++) {
        kt_call call = call_of(FUNCTION(detach_itself), &own[i]);
        own[i].way = way;
        CHECK(kt_thread_start(&own[i].handle, spec, &call) == 0);
    }
    atomic_store(&gate, 1);
    finish(other);
    wait_until_recycled(0);
}

static void a_thread_that_detaches_itself_is_not_recycled_before_its_start_is_over(void)
{
    kt_trim();
    in_every_way(starts_of_threads_that_detach_themselves);
}

int main(void)
{
    RUN(an_end_comes_after_the_destructors_of_keys);
    RUN(an_end_comes_after_the_destructors_of_thread_local_objects);
    RUN(objects_made_by_a_destructor_do_not_outlive_the_run);
    RUN(cleanup_handlers_run_inside_out_and_before_destructors);
    if (has_robust_lists()) {
        RUN(an_end_comes_after_robust_mutexes_are_marked);
    }
    RUN(all_who_wait_are_told_of_the_end_and_not_before);
    RUN(a_detached_thread_is_recycled_whichever_way_it_ends);
    RUN(a_thread_that_detaches_itself_is_not_recycled_before_its_start_is_over);
    return 0;
}
