/* The peers that need a C++ compiler: std::thread, oneTBB. Their libraries are built on the machine where
 * kthreads runs, and opened here. */
#define _GNU_SOURCE
#include "bench/peer.h"

#include <dlfcn.h>
#include <errno.h>
#include <string.h>

static struct {
    int (*start)(void *place, void (*function)(void *), void *argument);
    void (*join)(void *place);
    void (*detach)(void *place);
} std_thread;

static struct {
    int (*open)(void **state, uint32_t threads);
    void (*region)(void *state, kt__body *body, void *argument, uint32_t threads);
    void (*task)(void *state, void (*function)(void *), void *argument);
    void (*close)(void *state);
} tbb;

static const char *const std_thread_names[] = {"kt_shim_std_thread_start", "kt_shim_std_thread_join",
                                               "kt_shim_std_thread_detach", NULL};
static const char *const tbb_names[] = {"kt_shim_tbb_open", "kt_shim_tbb_region", "kt_shim_tbb_task",
                                        "kt_shim_tbb_close", NULL};

static char error[512];

/* Looks up the functions of an open library. Returns false when one is missing. */
static bool find(void *library, const char *const *names, void **functions)
{
    for (size_t i = 0; names[i]; i++) {
        functions[i] = dlsym(library, names[i]);
        if (!functions[i]) {
            functions[0] = NULL;
            return false;
        }
    }
    return true;
}

static void *open_library(const char *path)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        strncpy(error, dlerror(), sizeof error - 1);
    }
    return library;
}

const char *kt__library(const char *path, const char *const *names, void **functions)
{
    if (functions[0]) {
        return NULL;
    }
    void *library = open_library(path); /* never closed: its threads continue to run */
    if (!library) {
        return error;
    }
    return find(library, names, functions) ? NULL : "it lacks functions that are needed";
}

int kt_bench_shim(const char *path)
{
    void *library = open_library(path);
    if (!library) {
        return -ENOENT;
    }
    if (dlsym(library, std_thread_names[0]) && find(library, std_thread_names, (void **)&std_thread)) {
        return 0;
    }
    if (dlsym(library, tbb_names[0]) && find(library, tbb_names, (void **)&tbb)) {
        return 0;
    }
    strcpy(error, "it is no library of peers");
    return -ENOENT;
}

const char *kt_bench_shim_error(void)
{
    return error;
}

/* ---- std::thread ---- */

const char *kt__std_thread_missing(void)
{
    return std_thread.start ? NULL : "no C++ compiler has made its library";
}

int kt__std_thread_start(struct kt__made *made)
{
    return std_thread.start(made->shim, made->function, made->argument);
}

int kt__std_thread_join(struct kt__made *made)
{
    std_thread.join(made->shim);
    return 0;
}

int kt__std_thread_detach(struct kt__made *made)
{
    std_thread.detach(made->shim);
    return 0;
}

/* ---- oneTBB ---- */

static const char *tbb_missing(void)
{
    return tbb.open ? NULL : "no C++ compiler has made its library";
}

static int tbb_open(struct kt_bench_pool *pool, int64_t spin_ns)
{
    (void)spin_ns;
    return tbb.open(&pool->state, pool->threads);
}

static int tbb_region(struct kt_bench_pool *pool, kt__body *body, void *argument)
{
    tbb.region(pool->state, body, argument, pool->threads);
    return 0;
}

static int tbb_task(struct kt_bench_pool *pool, void (*function)(void *), void *argument)
{
    tbb.task(pool->state, function, argument);
    return 0;
}

static void tbb_close(struct kt_bench_pool *pool)
{
    tbb.close(pool->state);
}

const struct kt__peer kt__peer_tbb = {"tbb", tbb_missing, tbb_open, tbb_region, tbb_task, NULL, tbb_close};
