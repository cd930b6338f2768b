/* What a thread does from its first instruction of ours to its last. */
#define _GNU_SOURCE
#include "call.h"
#include "descriptor.h"
#include "fork.h"
#include "thread.h"

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

/* ---- Settings ------------------------------------------------------------------------------------ */

static void install_altstack(const struct kt_thread *thread)
{
    stack_t altstack = {.ss_sp = kt__stack_altstack(thread->stack), .ss_size = KT_ALTSTACK_SIZE};
    sigaltstack(&altstack, NULL);
}

static int apply_settings(const struct kt_thread *thread)
{
    const uint64_t shareable = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM;
    const uint64_t new = thread->flags &(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET |
                                         0x02000000 /* CLONE_NEWCGROUP */);
    /* pthread_create shares all; what clone would not have shared is unshared here. */
    if (thread->backend == KT_BACKEND_PTHREAD && (new || (thread->flags & shareable) != shareable) &&
        unshare((int)((~thread->flags & shareable) | new)) < 0) {
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

/* ---- The run -------------------------------------------------------------------------------------- */

static void run_call(struct kt_thread *thread)
{
    if (set_up(thread) < 0) {
        return;
    }
    bool timed = thread->options & KT_OPTION_CPU_TIME;
    int64_t begin = timed && thread->reused ? cpu_time_now() : 0;
    kt_call_run(&thread->call);
    if (timed) {
        thread->cpu_ns = cpu_time_now() - begin;
    }
}

/* The last act of a thread whose end the kernel does not announce in the word that joiners look at.
 * Also reached by pthread_exit in the call. */
static void announce_end(void *argument)
{
    struct kt_thread *thread = argument;
    kt__lock();
    if (kt__reusable(thread)) {
        if (!thread->left && atomic_load(&thread->claim) == KT_CLAIM_DETACHED) {
            kt__thread_abandon(thread);
        }
        thread->left = true;
        atomic_store(&thread->run, KT_RUN_ENDED);
        kt__futex_wake(&thread->run, INT_MAX, KT_FUTEX_PRIVATE);
    }
    if (thread->backend == KT_BACKEND_PTHREAD) {
        atomic_store(&thread->word, 0);
        kt__futex_wake(&thread->word, INT_MAX, KT_FUTEX_SHARED);
    }
    kt__unlock();
}

/* Our starter learns it too, but perhaps later than this thread asks. */
static int32_t own_tid(const struct kt_thread *thread)
{
    return thread->descriptor ? *kt__descriptor_tid(&kt__libc, thread->descriptor)
                              : (int32_t)syscall(SYS_gettid);
}

void *kt__thread_main(void *argument)
{
    struct kt_thread *thread = argument;
    atomic_store_explicit(&thread->tid, own_tid(thread), memory_order_relaxed);
    if (!kt__reusable(thread) && thread->backend != KT_BACKEND_PTHREAD) {
        run_call(thread);
        return NULL;
    }
    if (kt__reusable(thread)) {
        kt__inherited_now(&thread->inherited);
    }
    pthread_cleanup_push(announce_end, thread);
    do {
        run_call(thread);
    } while (kt__reusable(thread) && kt__await_run(thread));
    pthread_cleanup_pop(1);
    return NULL;
}

void kt__bare_main(void *argument)
{
    struct kt_thread *thread = argument;
    kt__call_without_libc(&thread->call);
}
