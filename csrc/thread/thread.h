/* thread/: the life of a thread: its stack, its start, its runs, waiting for its end, and what becomes of it
 * in a forked child. It may use libc/ and base/.
 *
 * This file: the record of a thread, struct kt_thread, and its states. Five fields of the record change while
 * other threads look at them.
 *
 * `word`: the word that the kernel clears; it says whether the thread exists.
 *
 *     0 --starter--> KT_STARTING --kernel, at clone--> tid --kernel, at the thread's end--> 0
 *
 *   With backend pthread the thread itself stores its tid, and names the word to the kernel by
 *   set_tid_address. A record with word 0 may be recycled, unless `starting` is set.
 *
 * `run`: the runs of a reusable thread. Other threads have KT_RUN_ACTIVE for ever.
 *
 *             the thread            the next starter         the next starter
 *     ACTIVE ------------> ENDED -------------------> TAKEN ------------------> ACTIVE
 *        |                   |     under the lock             after filling in
 *        | the thread        | kt_trim, under the lock        the call (release)
 *        v                   v
 *     LEAVING             DISMISSED
 *
 *   The thread sets ENDED or LEAVING by a sequentially consistent store, without a lock (end_run). After
 *   LEAVING a waiter waits for `word`.
 *
 * `claim`: who recycles the thread.
 *
 *     OWNER --kt_thread_join--> JOINING --> JOINED             compare-and-swap; back to OWNER at a timeout
 *       |
 *       | kt_thread_free, kt_thread_detach: under the lock
 *       v
 *     DETACHED ----> PARKED       a reusable thread whose run has ended: under the lock, by the last of
 *       |              |          the two who come to it, the thread and whoever frees its handle
 *       |              +--------> OWNER, by the next starter, under the lock
 *       |              |
 *       +--------------+--------> ABANDONED --> recycled, by a later start or kt_trim, once `word` is 0
 *
 * `setup`: KT_SETUP_PENDING until the thread has made the settings that can fail, then 0 or minus an errno
 *   value. The thread stores it (release); the starter waits for it.
 *
 * `starting`: set by the starter before the thread runs, cleared when the starter is done with the record. */
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

/* Who has the handle. */
enum kt__claim {
    KT_CLAIM_OWNER = 0, /* whoever started the thread */
    KT_CLAIM_JOINING,
    KT_CLAIM_JOINED,
    KT_CLAIM_DETACHED, /* nobody: a reusable thread sees to itself when its run ends */
    KT_CLAIM_PARKED,   /* the parking lot */
    KT_CLAIM_ABANDONED /* the list of threads to be recycled when they have ended */
};

/* What a thread may share or not, and the namespaces that it may have of its own (clone(2)). */
#define KT_SHAREABLE ((uint64_t)(CLONE_FS | CLONE_FILES | CLONE_SYSVSEM))
#define KT_NAMESPACES                                                                                        \
    (KT_CLONE_NEWCGROUP | (uint64_t)(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET))

enum { KT_STARTING = 1 }; /* in `word` from before the clone until the kernel stores the tid */

/* In `run` of a reusable thread. */
enum kt__run {
    KT_RUN_ENDED = 0,
    KT_RUN_ACTIVE,
    KT_RUN_TAKEN,     /* out of the lot, its call not filled in yet */
    KT_RUN_DISMISSED, /* there will be no further run */
    KT_RUN_LEAVING    /* the thread ends with this run: `word` says when that is over */
};

enum { KT_SETUP_PENDING = 1 }; /* in `setup`; then 0 or an errno value with its sign turned */

/* What a fresh thread inherits from the thread that starts it, and a parked one must not keep. */
struct kt__inherited {
    uint64_t cpus[16]; /* 1,024 CPUs, as cpu_set_t has */
    uint64_t float_control;
    char name[16];
    int32_t nice;
};

/* Records are recycled but never given back to malloc: a late waker or waiter that looks at one
 * reads a word of a thread, if perhaps of another, and looks again. */
struct kt_thread {
    /* Cleared by the kernel (CLEARTID): not 0 while the thread lives, 0 once its destructors have run, its
     * robust mutexes are marked, and its stack and TLS are free. */
    _Alignas(KT_CACHE_LINE) kt__word word;
    kt__word run;              /* reusable threads: enum kt__run */
    _Atomic(uint32_t) waiters; /* threads in kt_thread_wait, any */
    kt__word setup;            /* how the settings that can fail went; any */
    _Atomic(int32_t) claim;    /* enum kt__claim; any */
    _Atomic(int32_t) tid;
    _Atomic(bool)
        starting; /* kt__start is not done with the record, though the thread may have given itself up */

    /* pthread_self() of the thread. By the starter before it runs; of a pthread by the thread, too, which may
     * ask for it before pthread_create has told the starter: the same value. */
    _Atomic(uintptr_t) ident;

    /* Written by the starter before the thread runs; frozen until its end. */
    uint64_t flags;
    int32_t backend;
    uint32_t options;
    size_t stack_size; /* usable, as asked for */
    int32_t nice;
    uint32_t cpus_size;
    const uint64_t *cpus; /* the starter's; valid until `setup` is settled */
    bool reused;
    char name[16]; /* "" to leave it */
    struct kt__stack *stack;
    char *descriptor;               /* clone backends */
    struct kt__inherited inherited; /* reusable threads: as the thread was when its run began */
    struct kt__images *images;      /* reusable threads: of what is thread-local; or NULL */

    /* Written by the thread; read by others once it has ended. */
    kt_call call;
    int64_t cpu_ns; /* of the run; -1 when not recorded */

    /* Guarded by the engine's lock. */
    bool linked; /* the descriptor is on libc's list */
    bool left;   /* a reusable thread that will take no further run, its last one ended */
    struct kt_thread *previous, *next; /* all threads that have a stack */
    struct kt_thread *link;            /* free records, detached threads, parked threads */
};

static inline bool kt__reusable(const struct kt_thread *thread)
{
    return thread->options & KT_OPTION_REUSE;
}

/* What the kernel says of the thread: 0 once it is gone for good.
 *
 * Acquire, here and below: what the thread wrote is visible to whoever saw its end. The kernel's own store is
 * a full barrier's worth of exit path later. */
static inline uint32_t kt__alive(struct kt_thread *thread)
{
    uint32_t tid = atomic_load_explicit(&thread->word, memory_order_acquire);
    if (KT_THREAD_SANITIZER && tid == 0) {
        /* Which knows nothing of the kernel's store. */
        (void)atomic_load_explicit(&thread->run, memory_order_acquire);
    }
    return tid;
}

/* The word that tells of the end of a thread, or of the run of a reusable one, and what it is now: 0 after
 * the end. A run that turns out to be the thread's last ends with the thread: `run` changes to say so. */
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

/* ---- create.c: a new thread, or a parked one ---- */

/* kt_thread_start without the self-check, which starts a thread, too. */
int kt__start(struct kt_thread **thread, const kt_spec *spec, const kt_call *call);

/* ---- thread_main.c: what a thread does ----------------------------------------------------------------- */

void *kt__thread_main(void *thread);
void kt__bare_main(void *thread);

/* ---- registry.c: all threads, their records and their ends --------------------------------------- */

/* A record with a stack, entered among all threads. -ENOMEM. */
int kt__thread_new(size_t stack_size, struct kt_thread **thread);

/* Recycles a thread that has ended, or never began. */
void kt__thread_recycle(struct kt_thread *thread);

/* The engine's to recycle from now on. The lock must be held. */
void kt__thread_abandon(struct kt_thread *thread);

/* Recycles detached threads that have ended: a few of them, or all. */
void kt__reap_some(void);
void kt__reap_all(void);
size_t kt__detached_count(void);

/* In a process that a forked child has made by clone: its tid is another. */
void kt__refresh_own_tid(void);

/* ---- parking_lot.c: reusable threads between two runs ---------------------------------------------------
 */

/* A parked thread that fits, taken out of the lot, or NULL. */
struct kt_thread *kt__unpark(const kt_spec *spec);

/* Sets a thread that kt__unpark returned to its next run. */
void kt__resume(struct kt_thread *thread);

/* Parks a thread whose handle was given up, or leaves it to be recycled, unless its run still goes on. The
 * lock must be held. */
void kt__take_over(struct kt_thread *thread);

/* On the thread, after a run: waits for the next one. False when the thread should end instead. */
bool kt__await_run(struct kt_thread *thread);

/* On a thread that is about to end: those who wait for its run wait for the thread from now on. */
void kt__leave(struct kt_thread *thread);

void kt__dismiss_parked(void);
size_t kt__parked_count(void);

/* ---- reset.c: a parked thread made like a new one ------------------------------------------------ */

/* Runs thread_local and key destructors, gives every thread_local its initial value, and resets what
 * a run may have changed. False when something cannot be reset, such as a robust mutex still held. Takes no
 * locks: who waits for the end of the run may hold any. */
bool kt__make_fresh(struct kt_thread *thread);

void kt__inherited_now(struct kt__inherited *inherited);
bool kt__inherits_alike(const struct kt__inherited *a, const struct kt__inherited *b);

/* ---- selfcheck.c ----------------------------------------------------------------------------------- */

/* Probes and checks until that has told something, and then no more. 0; -ENOTSUP, once and for all; another,
 * such as -EAGAIN: it could not be told this time. */
int kt__ready(void);

#endif
