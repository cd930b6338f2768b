/* Makes a thread: on a new stack, or from the parking lot. */
#define _GNU_SOURCE
#include "base/clone.h"
#include "libc/descriptor.h"
#include "base/fork.h"
#include "libc/tls_images.h"
#include "thread/thread.h"

#include <sched.h>
#include <signal.h>
#include <string.h>

static const uint64_t common_flags =
    CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID;

/* Whether a parked thread may serve this spec. A parked thread keeps its namespaces, directory and
 * descriptors, so only one that shares all of them with the process is like a new thread. Where the engine's
 * threads are not on libc's list, a parked thread could also miss a setuid. */
static bool reusable(const kt_spec *spec)
{
    return spec->options & KT_OPTION_REUSE && spec->flags == KT_SHAREABLE &&
           !(spec->options & KT_OPTION_SCHEDULE) && !spec->stack && spec->guard_size <= KT_GUARD_DEFAULT &&
           spec->backend != KT_BACKEND_BARE_WITHOUT_LIBC && kt__libc.found.linked &&
           kt__libc.found.destructors;
}

/* Whether the starter must wait until the thread has made the settings that can fail. */
static bool needs_setup(const kt_spec *spec)
{
    return spec->cpus_size || spec->options & (KT_OPTION_NICE | KT_OPTION_SCHEDULE) ||
           (spec->backend == KT_BACKEND_PTHREAD &&
            (spec->flags != KT_SHAREABLE || !kt__libc.found.tid_offset));
}

static void fill_in(struct kt_thread *thread, const kt_spec *spec, const kt_call *call, bool parked)
{
    thread->flags = common_flags | spec->flags | (parked ? CLONE_SETTLS : 0);
    thread->reused = parked;
    thread->backend = spec->backend;
    thread->options = reusable(spec) ? spec->options : spec->options & ~(uint32_t)KT_OPTION_REUSE;
    thread->stack_size = spec->stack_size ? spec->stack_size : KT_STACK_DEFAULT;
    thread->guard_size = spec->guard_size;
    thread->nice = spec->nice;
    thread->policy = spec->policy;
    thread->priority = spec->priority;
    thread->cpus = spec->cpus;
    thread->cpus_size = spec->cpus_size;
    thread->name[0] = '\0';
    if (spec->name) {
        strncpy(thread->name, spec->name, sizeof thread->name - 1);
    }
    thread->call = *call;
    thread->returned = false;
    thread->cpu_ns = -1;
    /* The starter frees a detached thread when it no longer uses the record. Until then nobody claims it. */
    atomic_store_explicit(&thread->claim,
                          spec->options & KT_OPTION_DETACHED ? KT_CLAIM_JOINED : KT_CLAIM_OWNER,
                          memory_order_relaxed);
    atomic_store_explicit(&thread->joiner, 0, memory_order_relaxed);
    atomic_store_explicit(&thread->cancelled, false, memory_order_relaxed);
    atomic_store_explicit(&thread->starting, true, memory_order_relaxed);
    atomic_store_explicit(&thread->setup, needs_setup(spec) ? KT_SETUP_PENDING : 0, memory_order_relaxed);
}

static void store_ident(const struct kt_thread *thread, const kt_spec *spec)
{
    if (spec->ident) {
        __atomic_store_n(spec->ident, thread->ident, __ATOMIC_RELAXED); /* the thread may read it there */
    }
}

/* The mask for a thread of this starter. */
static kt__signals mask_for(const kt_spec *spec, kt__signals starters)
{
    return kt__inheritable_signals(spec->signals ? *spec->signals : starters);
}

/* All signals are blocked on the new thread until libc has set it up: before, no handler could run there. */
static int clone_with(struct kt_thread *thread, const kt_spec *spec, const struct kt__clone *clone)
{
    kt__signals old;
    kt__set_signals(~(kt__signals)0, &old);
    thread->signals = mask_for(spec, old);
    if (thread->descriptor && kt__libc.found.signal_mask_offset) {
        kt__descriptor_set_signals(&kt__libc, thread->descriptor, thread->signals);
    }
    int tid = thread->backend == KT_BACKEND_CLONE3 ? kt__clone3(clone) : kt__clone(clone);
    kt__set_signals(old, NULL);
    return tid;
}

static int start_clone(struct kt_thread *thread, const kt_spec *spec)
{
    struct kt__descriptor descriptor;
    int rc = kt__descriptor_make(&kt__libc, thread->stack->low, thread->stack->size, kt__thread_main, thread,
                                 &descriptor);
    if (rc < 0) {
        return rc;
    }
    kt__lock(); /* so that no fork happens now: libc's list must be consistent in the child */
    thread->descriptor = descriptor.address;
    kt__descriptor_link(&kt__libc, thread->descriptor);
    thread->linked = true;
    kt__unlock();
    atomic_store_explicit(&thread->ident, (uintptr_t)descriptor.address, memory_order_relaxed);
    store_ident(thread, spec);
    thread->flags |= CLONE_SETTLS;

    /* libc decrements the count as the thread ends, and exits the process when it gets to 0. */
    __atomic_fetch_add(kt__libc.thread_count, 1, __ATOMIC_RELAXED);
    rc = clone_with(thread, spec,
                    &(struct kt__clone){
                        .flags = thread->flags,
                        .stack_low = thread->stack->low,
                        .stack_top = descriptor.stack_top,
                        .tls = descriptor.tls,
                        .parent_tid = kt__descriptor_tid(&kt__libc, thread->descriptor),
                        .child_tid = &thread->word,
                        .entry = kt__libc.start_thread,
                        .argument = thread->descriptor,
                    });
    if (rc < 0) {
        __atomic_fetch_sub(kt__libc.thread_count, 1, __ATOMIC_RELAXED);
    }
    return rc;
}

static int start_bare(struct kt_thread *thread, const kt_spec *spec)
{
    int32_t tid;
    return clone_with(thread, spec,
                      &(struct kt__clone){
                          .flags = thread->flags,
                          .stack_low = thread->stack->low,
                          .stack_top = thread->stack->low + thread->stack->size,
                          .parent_tid = &tid,
                          .child_tid = &thread->word,
                          .entry = kt__bare_main,
                          .argument = thread,
                      });
}

/* The attributes of a thread of libc. It is detached: the kernel announces its end as that of any other
 * (thread_main.c), and libc frees its TLS before. */
static int set_attributes(pthread_attr_t *attributes, const struct kt_thread *thread, const kt_spec *spec)
{
    pthread_attr_setdetachstate(attributes, PTHREAD_CREATE_DETACHED);
    int rc = pthread_attr_setstack(attributes, thread->stack->low, thread->stack->size);
    if (rc == 0 && spec->signals) {
        sigset_t set;
        kt__signals signals = mask_for(spec, 0);
        sigemptyset(&set);
        memcpy(&set, &signals, sizeof signals);
        rc = pthread_attr_setsigmask_np(attributes, &set);
    }
    return rc;
}

static int start_pthread(struct kt_thread *thread, const kt_spec *spec)
{
    pthread_attr_t attributes;
    pthread_t pthread;
    int rc = pthread_attr_init(&attributes);
    if (rc != 0) {
        return -rc;
    }
    rc = set_attributes(&attributes, thread, spec);
    if (rc == 0) {
        rc = pthread_create(&pthread, &attributes, kt__thread_main, thread);
    }
    pthread_attr_destroy(&attributes);
    if (rc != 0) {
        return -rc;
    }
    atomic_store_explicit(&thread->ident, (uintptr_t)pthread, memory_order_relaxed);
    store_ident(thread, spec);
    /* pthread_create passes CLONE_PARENT_SETTID, too, so the tid is set by now. Without its offset
     * await_setup waits for the thread to store it. */
    return kt__libc.found.tid_offset ? *kt__descriptor_tid(&kt__libc, (char *)pthread) : 0;
}

static int start_new(struct kt_thread *thread, const kt_spec *spec)
{
    int rc = thread->backend == KT_BACKEND_PTHREAD             ? start_pthread(thread, spec)
             : thread->backend == KT_BACKEND_BARE_WITHOUT_LIBC ? start_bare(thread, spec)
                                                               : start_clone(thread, spec);
    if (rc < 0) {
        atomic_store_explicit(&thread->word, 0, memory_order_relaxed);
    } else if (rc > 0) {
        atomic_store_explicit(&thread->tid, rc, memory_order_relaxed);
    }
    return rc < 0 ? rc : 0;
}

/* Waits until the thread has made its settings. Returns 0 or their error. */
static int await_setup(struct kt_thread *thread)
{
    uint32_t setup;
    while ((setup = atomic_load_explicit(&thread->setup, memory_order_acquire)) == KT_SETUP_PENDING) {
        kt__futex_wait(&thread->setup, KT_SETUP_PENDING, KT_FUTEX_PRIVATE, -1);
    }
    return (int32_t)setup;
}

/* Waits for the end of a thread that could not make its settings, and so has not called the function. */
static void discard(struct kt_thread *thread)
{
    while (kt_thread_wait(thread, -1, NULL) == -EINTR) {
    }
    kt_thread_free(thread);
}

static int make_thread(const kt_spec *spec, struct kt_thread **thread)
{
    int rc = kt__thread_new(spec, thread);
    if (rc == 0) { /* before any other thread has the handle: so none takes it for ended */
        atomic_store_explicit(&(*thread)->word, KT_STARTING, memory_order_relaxed);
        atomic_store_explicit(&(*thread)->run, KT_RUN_ACTIVE, memory_order_relaxed);
    }
    if (rc == 0 && reusable(spec)) {
        (*thread)->images = kt__images_take();
    }
    return rc;
}

/* Runs the call on a new thread, or on a parked one. */
static int run_thread(struct kt_thread *thread, const kt_spec *spec, bool parked)
{
    int rc = 0;
    if (parked) {
        thread->signals = mask_for(spec, kt__blocked_signals());
        store_ident(thread, spec);
        kt__resume(thread);
    } else if ((rc = start_new(thread, spec)) < 0) {
        kt__thread_recycle(thread);
    }
    return rc;
}

int kt__start(struct kt_thread **out, const kt_spec *spec, const kt_call *call)
{
    kt__reap_some();
    struct kt_thread *thread = reusable(spec) ? kt__unpark(spec) : NULL;
    bool parked = thread, has_setup = needs_setup(spec);
    int rc = parked ? 0 : make_thread(spec, &thread);
    if (rc == 0) {
        fill_in(thread, spec, call, parked);
        /* Stored before the thread runs, as the thread may read its own handle there. Release: a thread that
         * reads the handle there sees the record filled in. */
        __atomic_store_n(out, thread, __ATOMIC_RELEASE);
        rc = run_thread(thread, spec, parked);
    }
    if (rc == 0) {
        rc = has_setup ? await_setup(thread) : 0;
        atomic_store_explicit(&thread->starting, false, memory_order_release);
        if (rc < 0) {
            discard(thread);
        } else if (spec->options & KT_OPTION_DETACHED) {
            kt_thread_free(thread);
        }
    }
    if (rc < 0) {
        *out = NULL;
    }
    return rc;
}
