/* Threads started while the dynamic loader, or libc's fork, is active. Each test runs in its own process:
 * most are about the first thread. */
#define _GNU_SOURCE
#include "test.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>

static const char *with_constructor, *small, *large, *fixed;

static int seven(void)
{
    return 7;
}

static void exit_at_once(void)
{
    pthread_exit(NULL);
}

/* Starts threads of all kinds: new ones, parked ones that run again, and ones that call pthread_exit. */
static void start_and_join(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        for (uint32_t options = 0; options <= KT_OPTION_REUSE; options++) {
            kt_spec spec = spec_for(*backend);
            spec.options = options;
            for (int i = 0; i < 3; i++) {
                CHECK(finish(start(&spec, FUNCTION(seven), NULL)) == 7);
            }
        }
    }
    kt_trim();
}

static void start_one_that_exits(void)
{
    kt_spec spec = spec_for(backends()[0]);
    finish(start(&spec, FUNCTION(exit_at_once), NULL));
}

static void use_a_pool(void)
{
    kt_pool *pool;
    kt_spec thread = spec_for(backends()[0]);
    kt_pool_spec spec = {.workers = 2, .cpus = 2, .queue_size = 8, .thread = &thread};
    kt_task task = {.call = call_of(FUNCTION(seven), NULL)};
    kt_task *tasks[] = {&task};
    CHECK(kt_pool_new(&pool, &spec) == 0);
    CHECK(kt_pool_submit(pool, tasks, 1, -1) == 1);
    CHECK(kt_task_wait(&task, 0, -1) == 0 && task.call.result == 7);
    CHECK(kt_pool_quiesce(pool, -1) == 0);
    kt_pool_free(pool);
}

extern void (*in_constructor)(void);
void (*in_constructor)(void);

static void open_with(void (*what)(void))
{
    in_constructor = what;
    void *library = dlopen(with_constructor, RTLD_NOW);
    CHECK(library);
    dlclose(library);
}

static void the_first_threads_start_in_a_constructor(void)
{
    open_with(start_and_join);
}

static void later_threads_start_in_a_constructor(void)
{
    start_and_join();
    open_with(start_and_join);
}

static void a_pool_works_in_a_constructor(void)
{
    open_with(use_a_pool);
}

static void a_thread_ends_by_pthread_exit_in_a_constructor(void)
{
    start_one_that_exits(); /* once before, outside the loader: this makes libc load the unwinder, for which a
                               pthread would wait, too */
    open_with(start_one_that_exits);
}

static atomic_int begun;

static void *start_and_join_beside(void *unused)
{
    atomic_store(&begun, 1);
    start_and_join();
    return unused;
}

static pthread_t other;

static void start_and_join_while_another_does(void)
{
    CHECK(pthread_create(&other, NULL, start_and_join_beside, NULL) == 0);
    while (!atomic_load(&begun)) {
        sched_yield();
    }
    usleep(20000); /* long enough for the thread to need the loader, whose lock the constructor holds */
    start_and_join();
}

static void two_threads_find_out_about_libc_at_once_one_in_a_constructor(void)
{
    open_with(start_and_join_while_another_does);
    CHECK(pthread_join(other, NULL) == 0);
}

static kt_pool *shared_pool;

static void *submit_beside(void *unused)
{
    kt_task task = {.call = call_of(FUNCTION(seven), NULL)};
    kt_task *tasks[] = {&task};
    atomic_store(&begun, 1);
    CHECK(kt_pool_submit(shared_pool, tasks, 1, -1) == 1);
    CHECK(kt_task_wait(&task, 0, -1) == 0 && task.call.result == 7);
    return unused;
}

static void submit_while_another_does(void)
{
    CHECK(pthread_create(&other, NULL, submit_beside, NULL) == 0);
    while (!atomic_load(&begun)) {
        sched_yield();
    }
    usleep(20000); /* as above */
    submit_beside(NULL);
}

/* A pool of one worker starts its first thread for its first task. */
static void two_threads_use_a_pool_first_one_in_a_constructor(void)
{
    kt_spec thread = spec_for(backends()[0]);
    kt_pool_spec spec = {.workers = 1, .cpus = 1, .queue_size = 8, .thread = &thread};
    CHECK(kt_pool_new(&shared_pool, &spec) == 0);
    open_with(submit_while_another_does);
    CHECK(pthread_join(other, NULL) == 0);
    CHECK(kt_pool_quiesce(shared_pool, -1) == 0);
    kt_pool_free(shared_pool);
}

static int call(struct dl_phdr_info *module, size_t size, void *what)
{
    (void)module, (void)size;
    ((void (*)(void))(uintptr_t)what)();
    return 1;
}

static void iterate_with(void (*what)(void))
{
    CHECK(dl_iterate_phdr(call, (void *)(uintptr_t)what) == 1);
}

static void the_first_threads_start_below_dl_iterate_phdr(void)
{
    iterate_with(start_and_join);
}

static void later_threads_start_below_dl_iterate_phdr(void)
{
    start_and_join();
    iterate_with(start_and_join);
}

static void a_pool_works_below_dl_iterate_phdr(void)
{
    iterate_with(use_a_pool);
}

static void resume_and_join(void)
{
    kt_spec spec = spec_for(backends()[0]);
    spec.options = KT_OPTION_REUSE;
    CHECK(finish(start(&spec, FUNCTION(seven), NULL)) == 7);
}

/* The thread that was parked before does not hinder others, and a library was loaded since. */
static void a_parked_thread_starts_again_below_dl_iterate_phdr(void)
{
    resume_and_join();
    CHECK(dlopen(small, RTLD_NOW));
    iterate_with(resume_and_join);
    iterate_with(resume_and_join);
}

static void (*in_fork)(void);

static void handle_fork(void)
{
    if (in_fork) {
        in_fork();
    }
}

/* Handlers run in the reverse order of their registration before the fork, and in that order after it. The
 * engine's own are in the middle. */
static __attribute__((constructor(101))) void register_handler_first(void)
{
    pthread_atfork(handle_fork, handle_fork, handle_fork);
}

static void fork_with(void (*what)(void))
{
    int status;
    pthread_atfork(handle_fork, handle_fork, handle_fork);
    in_fork = what;
    pid_t pid = fork();
    if (pid == 0) {
        alarm(SECONDS_TO_HANG);
        in_fork = NULL;
        start_and_join();
        _exit(0);
    }
    in_fork = NULL;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    start_and_join();
}

static void the_first_threads_start_in_fork_handlers(void)
{
    fork_with(start_and_join);
}

static void later_threads_start_in_fork_handlers(void)
{
    resume_and_join();
    fork_with(start_and_join);
}

static void fork_again(void)
{
    void (*what)(void) = in_fork;
    int status;
    in_fork = NULL;
    pid_t pid = fork();
    if (pid == 0) {
        start_and_join();
        _exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    start_and_join();
    in_fork = what;
}

static void a_fork_handler_may_fork(void)
{
    start_and_join();
    fork_with(fork_again);
}

static long count_in_a_reused_thread(void *library)
{
    kt_spec spec = spec_for(backends()[0]);
    spec.options = KT_OPTION_REUSE;
    return (long)finish(start(&spec, (kt_function)(uintptr_t)dlsym(library, "count"), NULL));
}

static void count_in_many_runs(const char *path)
{
    resume_and_join();
    void *library = dlopen(path, RTLD_NOW);
    CHECK(library);
    for (int i = 0; i < 5; i++) {
        CHECK(count_in_a_reused_thread(library) == 42);
    }
}

static void thread_locals_of_a_library_loaded_meanwhile_begin_anew_with_each_run(void)
{
    count_in_many_runs(small);
}

static void thread_locals_in_static_storage_of_a_library_loaded_meanwhile_do_too(void)
{
    count_in_many_runs(fixed);
}

static void a_library_takes_the_place_of_a_smaller_one(void)
{
    void *first = dlopen(small, RTLD_NOW);
    CHECK(first);
    for (int i = 0; i < 3; i++) {
        CHECK(count_in_a_reused_thread(first) == 42);
    }
    dlclose(first);
    void *second = dlopen(large, RTLD_NOW);
    CHECK(second);
    resume_and_join(); /* its block is still the smaller one, which it does not use */
    for (int i = 0; i < 3; i++) {
        CHECK(count_in_a_reused_thread(second) == 42);
    }
}

int main(int count, char **arguments)
{
    CHECK(count == 5);
    with_constructor = arguments[1];
    small = arguments[2];
    large = arguments[3];
    fixed = arguments[4];
    IN_A_PROCESS(the_first_threads_start_in_a_constructor);
    IN_A_PROCESS(later_threads_start_in_a_constructor);
    IN_A_PROCESS(a_pool_works_in_a_constructor);
    IN_A_PROCESS(a_thread_ends_by_pthread_exit_in_a_constructor);
    IN_A_PROCESS(two_threads_find_out_about_libc_at_once_one_in_a_constructor);
    IN_A_PROCESS(two_threads_use_a_pool_first_one_in_a_constructor);
    IN_A_PROCESS(the_first_threads_start_below_dl_iterate_phdr);
    IN_A_PROCESS(later_threads_start_below_dl_iterate_phdr);
    IN_A_PROCESS(a_pool_works_below_dl_iterate_phdr);
    IN_A_PROCESS(a_parked_thread_starts_again_below_dl_iterate_phdr);
    IN_A_PROCESS(thread_locals_of_a_library_loaded_meanwhile_begin_anew_with_each_run);
    IN_A_PROCESS(thread_locals_in_static_storage_of_a_library_loaded_meanwhile_do_too);
    IN_A_PROCESS(a_library_takes_the_place_of_a_smaller_one);
    if (makes_threads_after_fork()) {
        IN_A_PROCESS(the_first_threads_start_in_fork_handlers);
        IN_A_PROCESS(later_threads_start_in_fork_handlers);
        IN_A_PROCESS(a_fork_handler_may_fork);
    }
    return 0;
}
