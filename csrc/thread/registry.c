/* The registry: the records of all threads, the threads that the engine recycles, and the reset of both in a
 * forked child. */
#include "libc/descriptor.h"
#include "base/fork.h"
#include "libc/tls_images.h"
#include "thread/thread.h"

#include <stdlib.h>
#include <string.h>

enum { REAP_LOOKS = 4 }; /* abandoned threads checked before each start */

static struct kt_thread *all;     /* doubly linked by previous and next */
static struct kt_thread *records; /* free records, linked by `link` */

/* Detached threads in the order in which they were abandoned, which is roughly the order in which they end.
 */
static struct kt_thread *abandoned, **abandoned_end = &abandoned;
static _Atomic(size_t) abandoned_count;

static void reset_threads(void);

static struct kt_thread *take_record(void)
{
    struct kt_thread *thread = records;
    if (thread) {
        records = thread->link;
        return thread;
    }
    kt__reset_in_child(KT_RESET_THREADS, reset_threads);
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

static void add_to_all(struct kt_thread *thread)
{
    thread->previous = NULL;
    thread->next = all;
    if (all) {
        all->previous = thread;
    }
    all = thread;
}

static void remove_from_all(struct kt_thread *thread)
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

static int take_stack(const kt_spec *spec, struct kt__stack **stack)
{
    size_t usable = spec->stack_size ? spec->stack_size : KT_STACK_DEFAULT;
    return spec->stack ? kt__stack_borrow(spec->stack, spec->stack_size, stack)
                       : kt__stack_take(usable + kt__descriptor_room(&kt__libc), spec->guard_size, stack);
}

int kt__thread_new(const kt_spec *spec, struct kt_thread **out)
{
    int rc = -ENOMEM;
    kt__lock();
    struct kt_thread *thread = take_record();
    if (thread) {
        rc = take_stack(spec, &thread->stack);
        if (rc < 0) {
            give_record(thread);
        } else {
            thread->descriptor = NULL;
            thread->images = NULL;
            thread->ident = 0;
            thread->linked = thread->retired = false;
            add_to_all(thread);
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
        /* As libc does after a join: a function that still gets the ident says ESRCH. */
        *kt__descriptor_tid(&kt__libc, thread->descriptor) = -1;
        kt__descriptor_drop(&kt__libc, thread->descriptor);
    }
    thread->ident = 0; /* kt_thread_of finds it no more */
    kt__images_drop(thread->images);
    remove_from_all(thread);
    kt__stack_give(thread->stack);
    give_record(thread);
    kt__unlock();
}

void kt__thread_abandon(struct kt_thread *thread)
{
    atomic_store_explicit(&thread->claim, KT_CLAIM_ABANDONED,
                          memory_order_relaxed); /* it is in no other list */
    thread->link = NULL;
    *abandoned_end = thread;
    abandoned_end = &thread->link;
    atomic_fetch_add_explicit(&abandoned_count, 1, memory_order_relaxed);
}

static struct kt_thread *take_abandoned(void)
{
    struct kt_thread *thread = abandoned;
    if (thread) {
        abandoned = thread->link;
        if (!abandoned) {
            abandoned_end = &abandoned;
        }
        atomic_fetch_sub_explicit(&abandoned_count, 1, memory_order_relaxed);
    }
    return thread;
}

static void reap(size_t looks)
{
    struct kt_thread *ended = NULL;
    kt__lock();
    while (looks-- > 0 && abandoned) {
        struct kt_thread *thread = take_abandoned();
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
    if (kt__abandoned_count() > 0) {
        reap(REAP_LOOKS);
    }
}

void kt__reap_all(void)
{
    reap(kt__abandoned_count());
}

size_t kt__abandoned_count(void)
{
    return atomic_load_explicit(&abandoned_count, memory_order_relaxed);
}

/* The forking thread becomes the main thread of the child. It ends when its function returns, if the process
 * does not end before. */
static void become_main(struct kt_thread *thread)
{
    int32_t tid = (int32_t)syscall(SYS_gettid);
    atomic_store_explicit(&thread->tid, tid, memory_order_relaxed);
    atomic_store_explicit(&thread->word, (uint32_t)tid, memory_order_relaxed);
    syscall(SYS_set_tid_address, &thread->word); /* the child has no such address, or libc's */
    atomic_store_explicit(&thread->starting, false,
                          memory_order_relaxed); /* its starter is not in this process */
    thread->retired = true;
}

/* Only the forking thread exists in the child. By now libc has emptied the child's list of threads
 * (nptl/reclaim_stacks) and added the forking thread again. */
static void reset_threads(void)
{
    uintptr_t self = (uintptr_t)pthread_self();
    for (struct kt_thread *thread = all; thread; thread = thread->next) {
        atomic_store_explicit(&thread->waiters, 0, memory_order_relaxed);
        if (thread->ident == self && !kt__ended(thread)) {
            become_main(thread);
            continue;
        }
        /* The engine owns a thread that is parked, or that would have parked itself when its run had
         * ended. */
        int32_t claim = atomic_load_explicit(&thread->claim, memory_order_relaxed);
        bool ours = claim == KT_CLAIM_PARKED || claim == KT_CLAIM_DETACHED;
        thread->linked = false;
        thread->retired = true;
        atomic_store_explicit(&thread->starting, false, memory_order_relaxed);
        atomic_store_explicit(&thread->word, 0, memory_order_relaxed);
        atomic_store_explicit(&thread->run, KT_RUN_ENDED, memory_order_relaxed);
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
