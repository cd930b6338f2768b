/* A way to make a thread, or a process: what the peers of kt_thread_start have in common. */
#ifndef KT_BENCH_MAKER_H
#define KT_BENCH_MAKER_H

#include <kthreads/kthreads.h>
#include <pthread.h>
#include <sys/types.h>
#include <threads.h>

enum { KT_BENCH_STACK = 262144 }; /* bytes, of all that let themselves be told */

struct kt__bare;

/* A thread that was made. It stays where it is until it is joined or detached. */
struct kt__made {
    void (*function)(void *); /* what it runs */
    void *argument;
    char *stack; /* pthread-fresh */
    union {
        kt_thread *thread;
        pthread_t pthread;
        thrd_t thrd;
        pid_t pid;
        struct kt__bare *bare;
        void *shim[2]; /* room for a std::thread */
    };
};

struct kt__maker {
    const char *name;
    int (*start)(struct kt__made *made); /* 0 or -errno */
    int (*join)(struct kt__made *made);
    int (*detach)(struct kt__made *made); /* NULL when it cannot */
    int32_t runs_nothing;                 /* 1: what it makes does not run `function` (vfork and exec) */
    int32_t is_process;                   /* 1: memory is shared only where it was mapped so */
    const char *(*missing)(void);         /* NULL: always there */
};

extern const struct kt__maker kt__makers[];
extern const size_t kt__makers_count;

/* NULL for a number that is none, or a maker that is missing. */
const struct kt__maker *kt__maker_at(size_t number);
const struct kt__maker *kt__maker_named(const char *name);

/* makers_bare.c, makers_process.c, shim.c */
int kt__bare_start(struct kt__made *made);
int kt__bare3_start(struct kt__made *made);
int kt__bare_join(struct kt__made *made);
int kt__fork_start(struct kt__made *made);
int kt__vfork_start(struct kt__made *made);
int kt__process_join(struct kt__made *made);
int kt__std_thread_start(struct kt__made *made);
int kt__std_thread_join(struct kt__made *made);
int kt__std_thread_detach(struct kt__made *made);
const char *kt__std_thread_missing(void);

#endif
