/* The functions that the engine's threads run, from a thread's first instruction to its last. */
#define _GNU_SOURCE
#include "base/typed_call.h"
#include "libc/descriptor.h"
#include "thread/thread.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

static int64_t cpu_time_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static void install_altstack(const struct kt_thread *thread)
{
    stack_t altstack = {.ss_sp = kt__stack_altstack(thread->stack), .ss_size = KT_ALTSTACK_SIZE};
    sigaltstack(&altstack, NULL);
}

static int apply_settings(const struct kt_thread *thread)
{
    const uint64_t new = thread->flags & KT_NAMESPACES;
    /* pthread_create shares everything: the thread unshares what clone would not have shared. */
    if (thread->backend == KT_BACKEND_PTHREAD && (new || (thread->flags & KT_SHAREABLE) != KT_SHAREABLE) &&
        unshare((int)((~thread->flags & KT_SHAREABLE) | new)) < 0) {
        return -errno;
    }
    if (thread->cpus_size) {
        long rc = kt__syscall(SYS_sched_setaffinity, 0, thread->cpus_size, thread->cpus);
        if (rc < 0) {
            return (int)rc;
        }
    }
    if (thread->options & KT_OPTION_NICE && setpriority(PRIO_PROCESS, 0, thread->nice) < 0) {
        return -errno;
    }
    struct sched_param priority = {.sched_priority = thread->priority};
    if (thread->options & KT_OPTION_SCHEDULE && sched_setscheduler(0, thread->policy, &priority) < 0) {
        return -errno;
    }
    return 0;
}

static int set_up(struct kt_thread *thread)
{
    if (thread->name[0]) {
        prctl(PR_SET_NAME, thread->name);
    }
    if (thread->options & KT_OPTION_ALTSTACK) {
        install_altstack(thread);
    }
    if (atomic_load_explicit(&thread->setup, memory_order_relaxed) != KT_SETUP_PENDING) {
        return 0;
    }
    int rc = apply_settings(thread);
    atomic_store_explicit(&thread->setup, (uint32_t)rc, memory_order_release);
    kt__futex_wake(&thread->setup, 1, KT_FUTEX_PRIVATE);
    return rc;
}

static void run_call(struct kt_thread *thread)
{
    if (set_up(thread) < 0) {
        return;
    }
    bool timed = thread->options & KT_OPTION_CPU_TIME;
    int64_t begin = timed && thread->reused ? cpu_time_now() : 0;
    kt_call_run(&thread->call);
    thread->returned = true;
    if (timed) {
        thread->cpu_ns = cpu_time_now() - begin;
    }
}

/* The engine's last action on a thread, also after pthread_exit in the call. After it libc runs the
 * destructors of keys and of thread_local objects. */
static void announce_leaving(void *thread)
{
    kt__thread_leaving(thread);
}

/* Has the kernel clear `word` at the thread's end, as clone does with CLEARTID. The kernel no longer clears
 * libc's word, which no thread reads, as the thread is detached. */
static void set_clear_address(struct kt_thread *thread)
{
    atomic_store_explicit(&thread->word, (uint32_t)syscall(SYS_gettid), memory_order_relaxed);
    syscall(SYS_set_tid_address, &thread->word);
}

/* ThreadSanitizer does not see the kernel's stores. So with each pass over the values of keys, this
 * destructor stores with release what kt__alive loads with acquire: what the thread has done before is
 * visible to a thread that sees its end. */
#if KT_THREAD_SANITIZER
static pthread_key_t sanitizer_key;

static void release_to_sanitizer(void *argument)
{
    struct kt_thread *thread = argument;
    atomic_store_explicit(&thread->run, KT_RUN_LEAVING, memory_order_release);
    pthread_setspecific(sanitizer_key, thread);
}

static __attribute__((constructor)) void make_sanitizer_key(void)
{
    pthread_key_create(&sanitizer_key, release_to_sanitizer);
}

static void annotate_end(struct kt_thread *thread)
{
    pthread_setspecific(sanitizer_key, thread);
}
#else
static void annotate_end(const struct kt_thread *thread)
{
    (void)thread;
}
#endif

/* The starter gets the tid too, but perhaps later than this thread asks for it. */
static int32_t own_tid(const struct kt_thread *thread)
{
    return thread->descriptor ? *kt__descriptor_tid(&kt__libc, thread->descriptor)
                              : (int32_t)syscall(SYS_gettid);
}

/* Threads without an owner that end together recycle each other: a later start may never come. A thread that
 * has an owner takes no lock here (base/fork.h). */
static void reap_others(const struct kt_thread *thread)
{
    if (atomic_load_explicit(&thread->claim, memory_order_relaxed) == KT_CLAIM_ABANDONED) {
        kt__reap_some();
    }
}

void *kt__thread_main(void *argument)
{
    struct kt_thread *thread = argument;
    atomic_store_explicit(&thread->tid, own_tid(thread), memory_order_relaxed);
    if (thread->backend == KT_BACKEND_PTHREAD) {
        atomic_store_explicit(&thread->ident, (uintptr_t)pthread_self(), memory_order_relaxed);
        set_clear_address(thread);
    }
    if (thread->descriptor && !kt__libc.found.signal_mask_offset) {
        kt__set_signals(thread->signals, NULL); /* libc has set the template's */
    }
    annotate_end(thread);
    if (!kt__reusable(thread)) {
        run_call(thread);
        reap_others(thread);
        return NULL;
    }
    kt__inherited_get(&thread->inherited);
    pthread_cleanup_push(announce_leaving, thread);
    do {
        run_call(thread);
    } while (kt__await_run(thread));
    pthread_cleanup_pop(1);
    return NULL;
}

void kt__bare_main(void *argument)
{
    struct kt_thread *thread = argument;
    kt__call_without_libc(&thread->call);
    thread->returned = true;
}
