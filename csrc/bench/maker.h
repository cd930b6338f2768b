/* The interface of a maker: a way to make a thread, or a process. The peers of kt_thread_start implement
 * it. */
#ifndef KT_BENCH_MAKER_H
#define KT_BENCH_MAKER_H

#include <kthreads/kthreads.h>
#include <pthread.h>
#include <sys/types.h>
#include <threads.h>

enum { KT_BENCH_STACK = 262144 }; /* bytes of stack, where the maker lets it be set */

struct kt__bare;

/* A thread that was made. It must not move until it is joined or detached. */
struct kt__made {
    void (*function)(void *); /* the function that it runs */
    void *argument;
    char *stack; /* of the maker pthread-fresh */
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
    int (*detach)(struct kt__made *made); /* NULL if not supported */
    int32_t runs_nothing;                 /* 1: the process does not run `function` (vfork and exec) */
    int32_t is_process;                   /* 1: only memory mapped MAP_SHARED is shared */
    const char *(*missing)(void);         /* NULL: always available */
};

extern const struct kt__maker kt__makers[];
extern const size_t kt__makers_count;

/* Returns NULL for an invalid number, or a maker that is missing. */
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
