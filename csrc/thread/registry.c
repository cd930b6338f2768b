/* All threads of ours: their records, those nobody owns, and what is left of them after a fork. */
#include "libc/descriptor.h"
#include "base/fork.h"
#include "libc/tls_images.h"
#include "thread/thread.h"

#include <stdlib.h>
#include <string.h>

enum { REAP_LOOKS = 4 }; /* detached threads looked at before each start */

static struct kt_thread *all;     /* doubly linked by previous and next */
static struct kt_thread *records; /* free, linked by link */

/* Detached threads in the order they were given up, which is roughly the order they end in. */
static struct kt_thread *detached, **detached_end = &detached;
static _Atomic(size_t) detached_count;

/* ---- Records --------------------------------------------------------------------------------------- */

static void forget_other_threads(void);

static struct kt_thread *take_record(void)
{
    struct kt_thread *thread = records;
    if (thread) {
        records = thread->link;
        return thread;
    }
    kt__reset_in_child(KT_RESET_THREADS, forget_other_threads);
    thread = aligned_alloc(_Alignof(struct kt_thread), sizeof *thread);
    if (thread) {
        memset(thread, 0, sizeof *thread);
    }
    return thread;
}

static void give_record(struct kt_thread *thread)
{
    thread->link = records;
    records = thread;
}

static void enter(struct kt_thread *thread)
{
    thread->previous = NULL;
    thread->next = all;
    if (all) {
        all->previous = thread;
    }
    all = thread;
}

static void leave(struct kt_thread *thread)
{
    if (thread->previous) {
        thread->previous->next = thread->next;
    } else {
        all = thread->next;
    }
    if (thread->next) {
        thread->next->previous = thread->previous;
    }
}

int kt__thread_new(size_t stack_size, struct kt_thread **out)
{
    int rc = -ENOMEM;
    kt__lock();
    struct kt_thread *thread = take_record();
    if (thread) {
        rc = kt__stack_take(stack_size, &thread->stack);
        if (rc < 0) {
            give_record(thread);
        } else {
            thread->descriptor = NULL;
            thread->images = NULL;
            thread->ident = 0;
            thread->linked = thread->left = false;
            enter(thread);
            *out = thread;
        }
    }
    kt__unlock();
    return rc;
}

void kt__thread_recycle(struct kt_thread *thread)
{
    kt__lock();
    if (thread->linked) {
        kt__descriptor_unlink(&kt__libc, thread->descriptor);
        thread->linked = false;
    }
    if (thread->descriptor) {
        kt__descriptor_drop(&kt__libc, thread->descriptor);
    }
    kt__images_drop(thread->images);
    leave(thread);
    kt__stack_give(thread->stack);
    give_record(thread);
    kt__unlock();
}

/* ---- Detached threads --------------------------------------------------------------------------------- */

void kt__thread_abandon(struct kt_thread *thread)
{
    atomic_store_explicit(&thread->claim, KT_CLAIM_ABANDONED, memory_order_relaxed); /* in no other list */
    thread->link = NULL;
    *detached_end = thread;
    detached_end = &thread->link;
    atomic_fetch_add_explicit(&detached_count, 1, memory_order_relaxed);
}

static struct kt_thread *take_detached(void)
{
    struct kt_thread *thread = detached;
    if (thread) {
        detached = thread->link;
        if (!detached) {
            detached_end = &detached;
        }
        atomic_fetch_sub_explicit(&detached_count, 1, memory_order_relaxed);
    }
    return thread;
}

static void reap(size_t looks)
{
    struct kt_thread *ended = NULL;
    kt__lock();
    while (looks-- > 0 && detached) {
        struct kt_thread *thread = take_detached();
        if (!kt__alive(thread) && !atomic_load_explicit(&thread->starting, memory_order_acquire)) {
            thread->link = ended;
            ended = thread;
        } else {
            kt__thread_abandon(thread);
        }
    }
    kt__unlock();
    while (ended) {
        struct kt_thread *thread = ended;
        ended = thread->link;
        kt__thread_recycle(thread);
    }
}

void kt__reap_some(void)
{
    if (kt__detached_count() > 0) {
        reap(REAP_LOOKS);
    }
}

void kt__reap_all(void)
{
    reap(kt__detached_count());
}

size_t kt__detached_count(void)
{
    return atomic_load_explicit(&detached_count, memory_order_relaxed);
}

/* ---- Fork ------------------------------------------------------------------------------------------ */

/* The main thread of this child, which ends, with it or before it, when its function has returned. */
static void become_main(struct kt_thread *thread)
{
    int32_t tid = (int32_t)syscall(SYS_gettid);
    atomic_store_explicit(&thread->tid, tid, memory_order_relaxed);
    atomic_store_explicit(&thread->word, (uint32_t)tid, memory_order_relaxed);
    syscall(SYS_set_tid_address, &thread->word);                           /* the child has none, or libc's */
    atomic_store_explicit(&thread->starting, false, memory_order_relaxed); /* who started it is not here */
    thread->left = true;
}

/* Only the forking thread lives on. libc's child has emptied its list of threads by now
 * (nptl/reclaim_stacks), and entered the forking thread again. */
static void forget_other_threads(void)
{
    uintptr_t self = (uintptr_t)pthread_self();
    for (struct kt_thread *thread = all; thread; thread = thread->next) {
        atomic_store_explicit(&thread->waiters, 0, memory_order_relaxed);
        if (thread->ident == self && !kt__ended(thread)) {
            become_main(thread);
            continue;
        }
        /* Parked, or one that would have seen to itself when its run had ended. */
        int32_t claim = atomic_load_explicit(&thread->claim, memory_order_relaxed);
        bool ours = claim == KT_CLAIM_PARKED || claim == KT_CLAIM_DETACHED;
        thread->linked = false;
        thread->left = true;
        atomic_store_explicit(&thread->starting, false, memory_order_relaxed);
        atomic_store_explicit(&thread->word, 0, memory_order_relaxed);
        atomic_store_explicit(&thread->run, 0, memory_order_relaxed);
        if (ours) {
            kt__thread_abandon(thread);
        }
    }
}

void kt__refresh_own_tid(void)
{
    uintptr_t self = (uintptr_t)pthread_self();
    for (struct kt_thread *thread = all; thread; thread = thread->next) {
        if (thread->ident == self && !kt__ended(thread)) {
            become_main(thread);
        }
    }
}
