/* OpenMP, called as compilers do: GCC's runtime by GOMP_parallel, LLVM's by __kmpc_fork_call. */
#define _GNU_SOURCE
#include "bench/peer.h"

#include <string.h>

/* The region that runs; there is one at a time. */
static kt__body *body;
static void *argument;

static int open_nothing(struct kt_bench_pool *pool, int64_t spin_ns)
{
    (void)pool; /* the first region starts the threads */
    (void)spin_ns;
    return 0;
}

static void close_nothing(struct kt_bench_pool *pool)
{
    (void)pool;
}

/* ---- libgomp ---- */

static struct {
    void (*parallel)(void (*)(void *), void *, unsigned, unsigned);
    int (*thread_num)(void);
} gomp;

static const char *gomp_missing(void)
{
    static const char *const names[] = {"GOMP_parallel", "omp_get_thread_num", NULL};
    return kt__library("libgomp.so.1", names, (void **)&gomp);
}

static void run_gomp(void *unused)
{
    (void)unused;
    body(argument, (uint32_t)gomp.thread_num());
}

static int region_gomp(struct kt_bench_pool *pool, kt__body *run, void *with)
{
    body = run;
    argument = with;
    gomp.parallel(run_gomp, NULL, pool->threads, 0);
    return 0;
}

/* ---- libomp ---- */

/* ident_t of kmp.h: the place of the region in the source, for messages. */
static struct {
    int32_t reserved, flags, more[2];
    const char *source;
} place = {.flags = 2 /* KMP_IDENT_KMPC */, .source = ";unknown;unknown;0;0;;"};

typedef void microtask(int32_t *global, int32_t *bound, ...);

static struct {
    void (*fork_call)(void *, int32_t, microtask *, ...);
    void (*push_num_threads)(void *, int32_t, int32_t);
    int32_t (*global_thread_num)(void *);
    int (*thread_num)(void);
} kmp;

static const char *kmp_missing(void)
{
    static const char *const names[] = {"__kmpc_fork_call", "__kmpc_push_num_threads",
                                        "__kmpc_global_thread_num", "omp_get_thread_num", NULL};
    return kt__library("libomp.so.5", names, (void **)&kmp);
}

static void run_kmp(int32_t *global, int32_t *bound, ...)
{
    (void)global;
    (void)bound;
    body(argument, (uint32_t)kmp.thread_num());
}

static int region_kmp(struct kt_bench_pool *pool, kt__body *run, void *with)
{
    body = run;
    argument = with;
    kmp.push_num_threads(&place, kmp.global_thread_num(&place), (int32_t)pool->threads);
    kmp.fork_call(&place, 0, run_kmp);
    return 0;
}

const struct kt__peer kt__peer_libgomp = {"libgomp", gomp_missing, open_nothing, region_gomp,
                                          NULL,      NULL,         close_nothing};
const struct kt__peer kt__peer_libomp = {"libomp", kmp_missing, open_nothing, region_kmp,
                                         NULL,     NULL,        close_nothing};
