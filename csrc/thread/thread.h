/* thread/: threads: their stacks, start, runs and end, the waits for their ends, and their reset in a forked
 * child. It may use libc/ and base/.
 *
 * This file: the record of a thread, struct kt_thread, and its states. Five fields of the record change while
 * other threads read them.
 *
 * `word`: the word that the kernel clears. It says whether the thread exists.
 *
 *     0 --starter--> KT_STARTING --kernel, at clone--> tid --kernel, at the thread's end--> 0
 *
 *   With backend pthread the thread itself stores its tid, and gives the kernel the word's address by
 *   set_tid_address. A record with word 0 may be recycled, unless `starting` is set.
 *
 * `run`: the runs of a reusable thread. For other threads it stays KT_RUN_ACTIVE.
 *
 *             the thread            the next starter         the next starter
 *     ACTIVE ------------> ENDED -------------------> TAKEN ------------------> ACTIVE
 *        |                  | |     under the lock             after filling in
 *        | the thread       | |                                the call (release)
 *        v                  | +--> DISMISSED                   kt_trim, under the lock
 *     LEAVING               +----> ENDED, `retired`            the thread, when its wait in the lot times
 *                                                              out, under the lock; it ends
 *
 *   The thread sets ENDED or LEAVING by a sequentially consistent store, without a lock (end_run). After
 *   LEAVING a waiter waits for `word`.
 *
 * `claim`: which thread recycles the record.
 *
 *     OWNER --kt_thread_join--> JOINING --> JOINED             compare-and-swap; back to OWNER at a timeout
 *       |                                     |                or a cancellation; JOINED from the start with
 *       |                                     |                KT_OPTION_DETACHED, which the starter frees
 *       |                                     |
 *       +-------------------------------------+--> recycled    kt_thread_free, if `word` is 0
 *       |                                     |
 *       +-----------------+-------------------+                kt_thread_free, kt_thread_detach, locked
 *                         v
 *     DETACHED ----> PARKED       a reusable thread whose run has ended: under the lock, by the later of
 *       |              |          the thread that ends the run and the owner that frees the handle
 *       |              +--------> OWNER, by the next starter, which has taken the thread out of the lot under
 *       |              |          the lock and set TAKEN: no other thread touches the record then
 *       +--------------+--------> ABANDONED --> recycled, by a later start or kt_trim, once `word` is 0
 *
 *   In a forked child every thread but the one that forked has `word` and `run` 0. Its record becomes
 *   ABANDONED if it was PARKED or DETACHED (registry.c).
 *
 * `setup`: KT_SETUP_PENDING until the thread has made the settings that can fail, then 0 or a negative errno
 *   value. The thread stores it (release); the starter waits for it.
 *
 * `starting`: the starter sets it before the thread runs, and clears it when it no longer uses the record. */
#ifndef KT_THREAD_H
#define KT_THREAD_H

#include "cpu.h"
#include "base/clone.h"
#include "base/futex.h"
#include "base/sanitizer.h"
#include "libc/libc.h"
#include "thread/stack.h"

#include <kthreads/kthreads.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>

/* Which party has the record, and so recycles it. */
enum kt__claim {
    KT_CLAIM_OWNER = 0, /* the owner of the handle */
    KT_CLAIM_JOINING,
    KT_CLAIM_JOINED,
    KT_CLAIM_DETACHED, /* no owner: a reusable thread parks itself, or has itself recycled, when its run ends
                        */
    KT_CLAIM_PARKED,   /* the parking lot */
    KT_CLAIM_ABANDONED /* the list of threads to be recycled when they have ended */
};

/* The clone flags of what a thread may share or not, and of the namespaces that it may have of its own
 * (clone(2)). */
#define KT_SHAREABLE ((uint64_t)(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM))
#define KT_NAMESPACES                                                                                        \
    (KT_CLONE_NEWCGROUP | (uint64_t)(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET))

enum { KT_STARTING = 1 }; /* value of `word` from before the clone until the kernel stores the tid */

/* The values of `run` of a reusable thread. */
enum kt__run {
    KT_RUN_ENDED = 0,
    KT_RUN_ACTIVE,
    KT_RUN_TAKEN,     /* taken out of the lot; its call is not filled in yet */
    KT_RUN_DISMISSED, /* there will be no further run */
    KT_RUN_LEAVING    /* the thread ends with this run: wait for `word` */
};

enum { KT_SETUP_PENDING = 1 }; /* value of `setup`; later 0 or a negative errno value */

/* What a new thread inherits from its starter. A parked thread must have the same values as a new one. */
struct kt__inherited {
    uint64_t cpus[16]; /* 1,024 CPUs, as in cpu_set_t */
    uint64_t float_control;
    char name[16];
    int32_t nice;
};

/* Records are recycled but never freed. So a late waker or waiter that reads one reads the word of a thread,
 * perhaps of another thread, and checks again. */
struct kt_thread {
    /* The kernel clears it (CLEARTID). It is not 0 while the thread exists. It is 0 once the thread's
     * destructors have run, its robust mutexes are marked, and its stack and TLS are free. */
    _Alignas(KT_CACHE_LINE) kt__word word;
    kt__word run;              /* reusable threads: enum kt__run */
    _Atomic(uint32_t) waiters; /* number of threads in kt_thread_wait; written by any thread */
    kt__word setup;            /* the result of the settings that can fail */
    _Atomic(int32_t) claim;    /* enum kt__claim; written by any thread */
    _Atomic(int32_t) tid;
    _Atomic(bool) starting; /* kt__start still uses the record, though the thread may already be detached */

    /* pthread_self() of the thread. The starter stores it before the thread runs. Of a pthread the thread
     * stores it, too: it may ask for it before pthread_create has returned. Both store the same value. */
    _Atomic(uintptr_t) ident;

    /* pthread_self() of the thread that is joining this one; 0 for none. That thread writes it. */
    _Atomic(uintptr_t) joiner;
    _Atomic(bool) cancelled; /* set by any thread before it cancels this one: a join of this one's may end */

    /* The starter writes these before the thread runs; they are constant until its end. */
    uint64_t flags;
    int32_t backend;
    uint32_t options;
    size_t stack_size; /* usable bytes, as requested */
    size_t guard_size; /* as requested; the guard may be larger */
    int32_t nice;
    int32_t policy, priority;
    uint32_t cpus_size;
    const uint64_t *cpus; /* the starter's memory, valid until `setup` is settled */
    bool reused;
    kt__signals signals; /* the mask that the thread gets; backend pthread: set by libc on a new thread */
    char name[16];       /* "" to keep the inherited name */
    struct kt__stack *stack;
    char *descriptor;               /* with the clone backends */
    struct kt__inherited inherited; /* reusable threads: the values when the first run began */
    struct kt__images *images; /* reusable threads: the initial values of thread-local variables, or NULL */

    /* The thread writes these; others read them once it has ended. */
    kt_call call;
    bool returned;  /* false while the call runs, and when pthread_exit or a cancellation has ended it */
    int64_t cpu_ns; /* of the run; -1 if not recorded */

    /* The engine's lock guards these. */
    bool linked;  /* the descriptor is on libc's list */
    bool retired; /* a reusable thread that takes no further run; its last one has ended */
    struct kt_thread *previous, *next; /* list of all threads that have a stack */
    struct kt_thread *link;            /* list of free records, abandoned threads or parked threads */
};

static inline bool kt__reusable(const struct kt_thread *thread)
{
    return thread->options & KT_OPTION_REUSE;
}

/* `word`: 0 once the thread has ended and the kernel is done with it.
 *
 * Acquire, here and below: a thread that sees the end sees what the ended thread wrote. In the kernel full
 * barriers on the exit path precede its store to `word`. */
static inline uint32_t kt__alive(struct kt_thread *thread)
{
    uint32_t tid = atomic_load_explicit(&thread->word, memory_order_acquire);
    if (KT_THREAD_SANITIZER && tid == 0) {
        /* ThreadSanitizer does not see the kernel's store. */
        (void)atomic_load_explicit(&thread->run, memory_order_acquire);
    }
    return tid;
}

/* The word to wait for, and its present value, 0 after the end. The word changes at the end of a thread, or
 * of the run of a reusable thread. When a run turns out to be the thread's last, `run` changes to
 * KT_RUN_LEAVING, and the word to wait for is `word`. */
static inline struct kt__await kt__end_of(struct kt_thread *thread)
{
    if (kt__reusable(thread)) {
        uint32_t run = atomic_load(&thread->run); /* sequentially consistent: see parking_lot.c */
        if (run != KT_RUN_LEAVING) {
            return (struct kt__await){&thread->run, run, KT_FUTEX_PRIVATE};
        }
    }
    return (struct kt__await){&thread->word, kt__alive(thread), KT_FUTEX_SHARED};
}

static inline bool kt__ended(struct kt_thread *thread)
{
    return kt__end_of(thread).expected == 0;
}

/* create.c: makes a new thread, or starts a parked one. */

/* As kt_thread_start, but without the self-check, which itself starts a thread. */
int kt__start(struct kt_thread **thread, const kt_spec *spec, const kt_call *call);

/* thread_main.c: the functions that threads run. */

void *kt__thread_main(void *thread);
void kt__bare_main(void *thread);

/* registry.c: the list of all threads, their records and their ends. */

/* Takes a record with a stack, and adds it to the list of all threads. Returns 0 or -ENOMEM. */
int kt__thread_new(const kt_spec *spec, struct kt_thread **thread);

/* Recycles the record of a thread that has ended or was never started. */
void kt__thread_recycle(struct kt_thread *thread);

/* Makes the engine recycle the thread once it has ended. The caller holds the lock. */
void kt__thread_abandon(struct kt_thread *thread);

/* Recycle abandoned threads that have ended: a few of them, or all. An owner that frees the handle of a
 * thread at its end or later leaves it to a later start, to kt_trim, or to the end of another such thread. */
void kt__reap_some(void);
void kt__reap_all(void);
size_t kt__abandoned_count(void);

/* In a process made by clone: the calling thread has a new tid. */
void kt__refresh_own_tid(void);

/* parking_lot.c: reusable threads between two runs. */

/* Takes a parked thread that fits the spec out of the lot. Returns NULL if there is none. */
struct kt_thread *kt__unpark(const kt_spec *spec);

/* Starts the next run of a thread that kt__unpark has returned. */
void kt__resume(struct kt_thread *thread);

/* Parks a thread whose handle was freed, or leaves it to be recycled. Does nothing while its run continues.
 * The caller holds the lock. */
void kt__park_or_abandon(struct kt_thread *thread);

/* The thread calls this after a run, to wait for the next one. Returns false when the thread should end
 * instead. */
bool kt__await_run(struct kt_thread *thread);

/* The thread calls this when it is about to end: waiters of its run wait for `word` from now on. */
void kt__thread_leaving(struct kt_thread *thread);

void kt__dismiss_parked(void);
size_t kt__parked_count(void);

/* reset.c: resets a reusable thread between two runs. */

/* Runs thread_local and key destructors, gives every thread_local its initial value, and resets what a run
 * may have changed. Returns false when something cannot be reset, such as a robust mutex that the thread
 * still holds. Takes no locks: a thread that waits for the end of the run may hold any. */
bool kt__thread_reset(struct kt_thread *thread);

void kt__inherited_get(struct kt__inherited *inherited);
bool kt__inherited_equal(const struct kt__inherited *a, const struct kt__inherited *b);

/* selfcheck.c: checks that the engine's threads work with this libc. */

/* Probes libc and runs the self-check, until there is a final result; later calls return that. Returns 0, or
 * -ENOTSUP, which is final. Any other error, such as -EAGAIN, is temporary: a later call checks again. */
int kt__ready(void);

#endif
