/* Queries about a thread and about the engine's use of resources. */
#define _GNU_SOURCE
#include "base/fork.h"
#include "base/syscall.h"
#include "base/fd.h"
#include "thread/thread.h"

#include <fcntl.h>
#include <string.h>
#include <time.h>

enum { PIDFD_THREAD_FLAG = O_EXCL };

/* libc keeps the start routine and its argument in the descriptor. Of the engine's threads these are
 * kt__thread_main and the record. */
kt_thread *kt_thread_of(uintptr_t ident)
{
    void *(*routine)(void *);
    struct kt_thread *thread;
    size_t offset = kt__libc.found.start_routine_offset;
    if (!ident || !offset) {
        return NULL;
    }
    memcpy(&routine, (const char *)ident + offset, sizeof routine);
    memcpy(&thread, (const char *)ident + offset + sizeof routine, sizeof thread);
    return routine == kt__thread_main && thread->ident == ident ? thread : NULL;
}

int kt_thread_alive(const kt_thread *thread)
{
    return !kt__ended((kt_thread *)(uintptr_t)thread);
}

int32_t kt_thread_tid(const kt_thread *thread)
{
    return atomic_load_explicit(&thread->tid, memory_order_relaxed);
}

uintptr_t kt_thread_ident(const kt_thread *thread)
{
    return thread->ident;
}

uint64_t kt_thread_flags(const kt_thread *thread)
{
    return thread->flags;
}

int kt_thread_reused(const kt_thread *thread)
{
    return thread->reused;
}

/* The kernel's encoding of "the CPU clock of this thread" (include/linux/posix-timers.h). */
static clockid_t cpu_clock_of(int32_t tid)
{
    return (clockid_t)(~(uint32_t)tid << 3 | 6);
}

int kt_thread_cpu_time(kt_thread *thread, int64_t *ns)
{
    struct timespec time;
    if (!kt__ended(thread) && clock_gettime(cpu_clock_of(kt_thread_tid(thread)), &time) == 0) {
        *ns = (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
        return 0;
    }
    if (thread->cpu_ns < 0) {
        return -ESRCH;
    }
    *ns = thread->cpu_ns;
    return 0;
}

int kt_thread_pidfd(kt_thread *thread)
{
    if (kt__reusable(thread)) {
        return -ENOTSUP; /* the pidfd would report the end of the kernel thread, not of the run */
    }
    if (kt__ended(thread)) {
        return -ESRCH;
    }
    int fd = kt__lift_above((int)kt__syscall(SYS_pidfd_open, kt_thread_tid(thread), PIDFD_THREAD_FLAG),
                            KT_HIGHEST_STANDARD);
    if (fd >= 0 && kt__ended(thread)) { /* the tid may already belong to another thread */
        close(fd);
        return -ESRCH;
    }
    return fd;
}

void kt_usage_now(kt_usage *usage)
{
    kt__lock();
    struct kt__stack_usage stacks = kt__stack_usage_now();
    kt__unlock();
    *usage = (kt_usage){.stacks = stacks.taken,
                        .cached = stacks.free,
                        .mapped = stacks.mapped,
                        .parked = kt__parked_count(),
                        .detached = kt__abandoned_count()};
}

void kt_trim(void)
{
    kt__dismiss_parked();
    kt__reap_all();
    kt__lock();
    kt__stack_trim();
    kt__unlock();
}
