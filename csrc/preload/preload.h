/* What the files of the preloaded library share: its settings, libc's own functions, and the lives of
 * threads. */
#ifndef KT_PRELOAD_H
#define KT_PRELOAD_H

#include <errno.h>
#include <kthreads/kthreads.h>
#include <pthread.h>
#include <stdbool.h>
#include <threads.h>
#include <time.h>

#include "preload/statistics.h"

/* A function that takes the place of libc's. */
#define KT_INTERPOSED __attribute__((visibility("default")))

/* Libc's functions, or those of the next library that has taken their place. */
struct kt__next {
    int (*create)(pthread_t *, const pthread_attr_t *, kt_routine, void *);
    int (*join)(pthread_t, void **);
    int (*tryjoin)(pthread_t, void **);
    int (*timedjoin)(pthread_t, void **, const struct timespec *);
    int (*clockjoin)(pthread_t, void **, clockid_t, const struct timespec *);
    int (*detach)(pthread_t);
    int (*cancel)(pthread_t);
    int (*getattr)(pthread_t, pthread_attr_t *);
    void (*exit)(void *);
};

/* From the environment: KTHREADS_EXEC_BACKEND is clone, clone3 or pthread; KTHREADS_EXEC_REUSE is 1 for
 * threads that are reused; KTHREADS_EXEC_STATISTICS names the file of the statistics; KTHREADS_EXEC_CHILDREN
 * is 0 to leave programs that this one executes alone. */
struct kt__preload {
    int32_t backend; /* enum kt_backend */
    uint32_t options;
    struct kt__next next;
    pthread_t main_thread;
};

/* settings.c: reads the settings at the first call, which may come from a constructor of any library. */
const struct kt__preload *kt__preload(void);

/* lives.c: the statistics. Each function takes NULL for a life that nobody records. */

void kt__lives_open(const char *path);

/* The life of a new thread; NULL when there are no statistics, or no room. */
kt_life *kt__life_new(kt_routine routine, void *argument);

/* A start routine, for which the argument is a life. */
void *kt__life_lead(void *life);

/* The life of a thread that has begun, and was neither joined nor detached, or NULL. */
kt_life *kt__life_of(pthread_t ident);

/* Notes that the thread was detached; `life` is what kt__life_of has returned before. */
void kt__life_detached(pthread_t ident, kt_life *life);

/* attributes.c: a spec with the memory that it points to. */
struct kt__wanted {
    kt_spec spec;
    uint64_t cpus[KT_PRELOAD_CPUS / 64];
    uint64_t signals;
};

/* Translates attributes, or libc's default attributes for NULL. Returns why the engine cannot make such a
 * thread, or KT_HANDED_NOT. The spec points into *wanted. */
enum kt_handed kt__wanted_by(const pthread_attr_t *attributes, struct kt__wanted *wanted);

/* What C11's functions return for a result of pthread's. */
static inline int kt__c11_result(int rc)
{
    return rc == 0 ? thrd_success : rc == ENOMEM ? thrd_nomem : thrd_error;
}

#endif
