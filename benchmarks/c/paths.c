/* The paths whose instructions are counted: one operation many times, each within `operation`, which
 * callgrind is told to look at, on the calling thread alone (benchmarks/instructions.py).
 *
 *     paths create_join|reuse|region|submit|pthread COUNT */
#define _GNU_SOURCE
#include <kthreads/kthreads.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static kt_pool *pool;

static void check(int ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "paths: %s failed\n", what);
        exit(1);
    }
}

static void nothing(void)
{
}

static void start_and_join(uint32_t options)
{
    kt_thread *thread;
    kt_spec spec = {.flags = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM, .options = options};
    kt_call call = {.function = nothing};
    check(kt_thread_start(&thread, &spec, &call) == 0, "kt_thread_start");
    check(kt_thread_wait(thread, -1, NULL) == 0, "kt_thread_wait");
    kt_thread_free(thread);
}

static void create_join(void)
{
    start_and_join(0);
}

static void reuse(void)
{
    start_and_join(KT_OPTION_REUSE);
}

static void *nothing_as_pthread(void *argument)
{
    return argument;
}

static void pthread(void)
{
    pthread_t thread;
    check(pthread_create(&thread, NULL, nothing_as_pthread, NULL) == 0, "pthread_create");
    check(pthread_join(thread, NULL) == 0, "pthread_join");
}

static void region(void)
{
    kt_loop loop = {.call = {.function = nothing}, .end = 2, .step = 1, .count = 2, .grain = 1};
    check(kt_pool_run(pool, &loop, -1) == 0, "kt_pool_run");
}

static void submit(void)
{
    kt_task task = {.call = {.function = nothing}}, *tasks = &task;
    check(kt_pool_submit(pool, &tasks, 1, -1) == 1, "kt_pool_submit");
    check(kt_task_wait(&task, 0, -1) == 0, "kt_task_wait");
}

static const struct path {
    const char *name;
    void (*run)(void);
} paths[] = {{"create_join", create_join},
             {"reuse", reuse},
             {"region", region},
             {"submit", submit},
             {"pthread", pthread}};

/* What callgrind counts. */
__attribute__((noinline)) void operation(void (*run)(void));
__attribute__((noinline)) void operation(void (*run)(void))
{
    run();
    __asm__ volatile("" ::: "memory"); /* no tail call, which would end the count */
}

int main(int argc, char **argv)
{
    check(argc == 3, "paths NAME COUNT");
    kt_pool_spec spec = {
        .workers = 2, .cpus = 2, .queue_size = 16}; /* that never spins: a spin has any length */
    check(kt_pool_new(&pool, &spec) == 0, "kt_pool_new");
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        if (strcmp(argv[1], paths[i].name) == 0) {
            paths[i].run(); /* caches are filled, what is done once is done */
            for (long left = atol(argv[2]); left > 0; left--) {
                operation(paths[i].run);
            }
            check(kt_pool_quiesce(pool, -1) == 0, "kt_pool_quiesce");
            kt_pool_free(pool);
            return 0;
        }
    }
    check(0, argv[1]);
    return 1;
}
