/* The makers whose threads have libc's data: kthreads with its backends, pthread_create, thrd_create. */
#define _GNU_SOURCE
#include "bench/maker.h"
#include "bench/sample.h"

#include <errno.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int start_kt(struct kt__made *made, int32_t backend, uint32_t options)
{
    kt_spec spec = {.flags = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM,
                    .backend = backend,
                    .options = options,
                    .stack_size = KT_BENCH_STACK};
    kt_call call = {.integers = {(uintptr_t)made->argument}};
    memcpy(&call.function, &made->function, sizeof call.function);
    return kt_thread_start(&made->thread, &spec, &call);
}

static int start_clone(struct kt__made *made)
{
    return start_kt(made, KT_BACKEND_CLONE, 0);
}

static int start_clone3(struct kt__made *made)
{
    return start_kt(made, KT_BACKEND_CLONE3, 0);
}

static int start_reuse(struct kt__made *made)
{
    return start_kt(made, KT_BACKEND_CLONE, KT_OPTION_REUSE);
}

static int join_kt(struct kt__made *made)
{
    int rc;
    while ((rc = kt_thread_wait(made->thread, -1, NULL)) == -EINTR) {
    }
    kt_thread_free(made->thread);
    return rc;
}

static int detach_kt(struct kt__made *made)
{
    return kt_thread_detach(made->thread);
}

static const char *clone_missing(void)
{
    return kt_libc_probe(NULL) == 0 ? NULL : "this libc failed the self-check (kthreads doctor)";
}

static const char *clone3_missing(void)
{
    return kt_features() & KT_FEATURE_CLONE3 ? clone_missing() : "clone3 is refused here";
}

static void *run_as_pthread(void *argument)
{
    struct kt__made made =
        *(struct kt__made *)argument; /* copied: a caller that detaches the thread may free the memory */
    made.function(made.argument);
    return NULL;
}

static const pthread_attr_t *equal_stack(void)
{
    static pthread_attr_t attributes;
    static _Atomic(int) ready;
    if (!ready) {
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, KT_BENCH_STACK);
        ready = 1;
    }
    return &attributes;
}

static int start_pthread(struct kt__made *made)
{
    return -pthread_create(&made->pthread, equal_stack(), run_as_pthread, made);
}

static int start_pthread_default(struct kt__made *made)
{
    return -pthread_create(&made->pthread, NULL, run_as_pthread, made);
}

static int join_pthread(struct kt__made *made)
{
    return -pthread_join(made->pthread, NULL);
}

static int detach_pthread(struct kt__made *made)
{
    return -pthread_detach(made->pthread);
}

/* Maps a stack for each thread, as glibc does when its cache has none (allocate_stack). */
static int start_pthread_fresh(struct kt__made *made)
{
    size_t guard = (size_t)sysconf(_SC_PAGESIZE), size = KT_BENCH_STACK + guard;
    made->stack = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (made->stack == MAP_FAILED) {
        return -ENOMEM;
    }
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    int rc = mprotect(made->stack + guard, KT_BENCH_STACK, PROT_READ | PROT_WRITE) != 0 ? -errno : 0;
    if (rc == 0) {
        pthread_attr_setstack(&attributes, made->stack + guard, KT_BENCH_STACK);
        rc = -pthread_create(&made->pthread, &attributes, run_as_pthread, made);
    }
    pthread_attr_destroy(&attributes);
    if (rc != 0) {
        munmap(made->stack, size);
    }
    return rc;
}

static int join_pthread_fresh(struct kt__made *made)
{
    int rc = join_pthread(made);
    munmap(made->stack, KT_BENCH_STACK + (size_t)sysconf(_SC_PAGESIZE));
    return rc;
}

static int run_as_thrd(void *argument)
{
    run_as_pthread(argument);
    return 0;
}

static int of_thrd(int result)
{
    return result == thrd_success ? 0 : result == thrd_nomem ? -ENOMEM : -EAGAIN;
}

static int start_thrd(struct kt__made *made)
{
    return of_thrd(thrd_create(&made->thrd, run_as_thrd, made));
}

static int join_thrd(struct kt__made *made)
{
    return of_thrd(thrd_join(made->thrd, NULL));
}

static int detach_thrd(struct kt__made *made)
{
    return of_thrd(thrd_detach(made->thrd));
}

const struct kt__maker kt__makers[] = {
    {"clone", start_clone, join_kt, detach_kt, 0, 0, clone_missing},
    {"clone3", start_clone3, join_kt, detach_kt, 0, 0, clone3_missing},
    {"reuse", start_reuse, join_kt, detach_kt, 0, 0, clone_missing},
    {"pthread", start_pthread, join_pthread, detach_pthread, 0, 0, NULL},
    {"pthread-default", start_pthread_default, join_pthread, detach_pthread, 0, 0, NULL},
    {"pthread-fresh", start_pthread_fresh, join_pthread_fresh, NULL, 0, 0, NULL},
    {"bare", kt__bare_start, kt__bare_join, NULL, 0, 0, NULL},
    {"bare3", kt__bare3_start, kt__bare_join, NULL, 0, 0, clone3_missing},
    {"thrd", start_thrd, join_thrd, detach_thrd, 0, 0, NULL},
    {"std-thread", kt__std_thread_start, kt__std_thread_join, kt__std_thread_detach, 0, 0,
     kt__std_thread_missing},
    {"fork", kt__fork_start, kt__process_join, NULL, 0, 1, NULL},
    {"vfork-exec", kt__vfork_start, kt__process_join, NULL, 1, 1, NULL},
};

const size_t kt__makers_count = sizeof kt__makers / sizeof kt__makers[0];

size_t kt_bench_makers(void)
{
    return kt__makers_count;
}

const char *kt_bench_maker_name(size_t maker)
{
    return maker < kt__makers_count ? kt__makers[maker].name : NULL;
}

const char *kt_bench_maker_missing(size_t maker)
{
    if (maker >= kt__makers_count) {
        return "there is no such maker";
    }
    return kt__makers[maker].missing ? kt__makers[maker].missing() : NULL;
}

const struct kt__maker *kt__maker_at(size_t number)
{
    return kt_bench_maker_missing(number) ? NULL : &kt__makers[number];
}

const struct kt__maker *kt__maker_named(const char *name)
{
    for (size_t i = 0; i < kt__makers_count; i++) {
        if (strcmp(kt__makers[i].name, name) == 0) {
            return kt__maker_at(i);
        }
    }
    return NULL;
}
