/* The interface of a peer: a pool that runs regions and tasks. kt_pool and its peers implement it. */
#ifndef KT_BENCH_PEER_H
#define KT_BENCH_PEER_H

#include "bench/maker.h"
#include "bench/sample.h"

/* Each participant of a region calls this once, with its number. */
typedef void kt__body(void *argument, uint32_t number);

struct kt__peer {
    const char *name;
    const char *(*missing)(void); /* NULL: always available */
    int (*open)(struct kt_bench_pool *pool, int64_t spin_ns);
    int (*region)(struct kt_bench_pool *pool, kt__body *body, void *argument);
    int (*task)(struct kt_bench_pool *pool, void (*function)(void *),
                void *argument); /* one task at a time */
    int (*wait)(
        struct kt_bench_pool *pool); /* waits for the task's end; NULL: the harness waits on a futex */
    void (*close)(struct kt_bench_pool *pool);
};

struct kt_bench_pool {
    const struct kt__peer *peer;
    uint32_t threads; /* participants of a region, including the caller */
    void *state;      /* the peer's own data */
};

/* Each is defined in the file of its name, peer_*.c; peer_tbb in shim.c. */
extern const struct kt__peer kt__peer_kthreads, kt__peer_libgomp, kt__peer_libomp, kt__peer_pthreadpool,
    kt__peer_tbb, kt__peer_condvar, kt__peer_clone, kt__peer_reuse, kt__peer_pthread;

/* Opens a library and looks up its functions, in the order of `names`, which ends with NULL. Returns NULL, or
 * the reason of a failure. */
const char *kt__library(const char *path, const char *const *names, void **functions);

#endif
