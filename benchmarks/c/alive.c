/* Starts many threads that all stay alive, and stops them again.
 *
 *     alive KIND COUNT        KIND: clone, pthread, bare (clone without libc: the floor)
 *
 * Prints JSON: how many were reached, the seconds from the first start until all run, those until all have
 * been joined, and the bytes of memory, the kernel's included, that each takes while it waits. */
#define _GNU_SOURCE
#include "futex.h"

#include <kthreads/kthreads.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STACK = 262144 };

static kt__word running, stop;
static uint32_t wanted = UINT_MAX;

static void wait_for_stop(void)
{
    if (atomic_fetch_add(&running, 1) + 1 >= wanted) {
        kt__futex_wake(&running, 1, KT_FUTEX_PRIVATE);
    }
    while (atomic_load(&stop) == 0) {
        kt__futex_wait(&stop, 0, KT_FUTEX_PRIVATE, -1);
    }
}

static void await_running(uint32_t count)
{
    uint32_t now;
    wanted = count;
    while ((now = atomic_load(&running)) < count) {
        kt__futex_wait(&running, now, KT_FUTEX_PRIVATE, kt__deadline_after(1000000));
    }
}

/* ---- Two ways to make them -------------------------------------------------------------------------- */

static int backend = KT_BACKEND_CLONE;
static kt_thread **handles;
static pthread_t *pthreads;

static int start_clone(size_t at)
{
    kt_spec spec = {.flags = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM, .backend = backend, .stack_size = STACK};
    kt_call call = {.function = wait_for_stop};
    return kt_thread_start(&handles[at], &spec, &call);
}

static void join_clone(size_t at)
{
    while (kt_thread_wait(handles[at], -1, NULL) != 0) {
    }
    kt_thread_free(handles[at]);
}

static void *wait_as_pthread(void *argument)
{
    wait_for_stop();
    return argument;
}

static int start_pthread(size_t at)
{
    static pthread_attr_t attributes;
    static int ready;
    if (!ready) {
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, STACK);
        ready = 1;
    }
    return -pthread_create(&pthreads[at], &attributes, wait_as_pthread, NULL);
}

static void join_pthread(size_t at)
{
    pthread_join(pthreads[at], NULL);
}

/* ---- Measuring
 * --------------------------------------------------------------------------------------------- */

/* Bytes that are available to new processes, which is what all the threads' memory, wherever it is, takes
 * away. */
static double available(void)
{
    char line[128];
    double kib = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        if (sscanf(line, "MemAvailable: %lf", &kib) == 1) {
            break;
        }
    }
    if (file) {
        fclose(file);
    }
    return kib * 1024;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: alive clone|pthread|bare COUNT\n");
        return 2;
    }
    bool by_clone = strcmp(argv[1], "pthread") != 0;
    backend = strcmp(argv[1], "bare") == 0 ? KT_BACKEND_BARE_WITHOUT_LIBC : KT_BACKEND_CLONE;
    int (*start)(size_t) = by_clone ? start_clone : start_pthread;
    void (*join)(size_t) = by_clone ? join_clone : join_pthread;
    size_t count = (size_t)atol(argv[2]), reached = 0;
    handles = calloc(count, sizeof(kt_thread *));
    pthreads = calloc(count, sizeof *pthreads);
    if (!handles || !pthreads || kt_libc_probe(NULL) != 0) {
        return 1;
    }
    memset(handles, 1, count * sizeof(kt_thread *)); /* so that its pages are not counted below */
    memset(pthreads, 1, count * sizeof *pthreads);

    double before = available();
    int64_t begin = kt__now();
    int rc = 0;
    while (reached < count && (rc = start(reached)) == 0) {
        reached++;
    }
    await_running((uint32_t)reached);
    int64_t all_run = kt__now();
    double taken = before - available();
    int64_t stopped = kt__now();
    atomic_store(&stop, 1);
    kt__futex_wake(&stop, INT_MAX, KT_FUTEX_PRIVATE);
    for (size_t i = 0; i < reached; i++) {
        join(i);
    }
    printf("{\"kind\": \"%s\", \"wanted\": %zu, \"reached\": %zu, \"error\": %d, \"start_s\": %.6f, "
           "\"stop_s\": %.6f, "
           "\"bytes_each\": %.0f}\n",
           argv[1], count, reached, rc, (double)(all_run - begin) / 1e9, (double)(kt__now() - stopped) / 1e9,
           taken / (double)(reached ? reached : 1));
    return 0;
}
