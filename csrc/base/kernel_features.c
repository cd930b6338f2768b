/* Each feature is asked for by a system call that makes nothing and needs nothing, so that hardly anything
 * but the feature decides on the answer. An answer that a passing shortage has given all the same is
 * forgotten. */
#define _GNU_SOURCE
#include "base/kernel_features.h"

#include "base/sanitizer.h"
#include "base/syscall.h"

#include <kthreads/kthreads.h>

#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* A structure of size 0 is EINVAL to a kernel that would have read it; ENOSYS and EPERM come from kernels,
 * seccomp profiles and emulators that never will. */
static long ask_clone3(void)
{
    return kt__syscall(SYS_clone3, NULL, 0);
}

/* The advice is looked at before the range, which is empty. */
static long ask_guard(void)
{
    return kt__syscall(SYS_madvise, NULL, 0, KT_MADV_GUARD_INSTALL);
}

static long ask_futex_waitv(void)
{
    return kt__syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0);
}

/* The flag is looked at before the thread, which is none. */
static long ask_pidfd_thread(void)
{
    return kt__syscall(SYS_pidfd_open, INT_MAX, O_EXCL /* PIDFD_THREAD */);
}

static const struct {
    uint32_t feature;
    long (*ask)(void);
    long yes;
} questions[] = {
    {KT_FEATURE_CLONE3, ask_clone3, -EINVAL},
    {KT_FEATURE_GUARD, ask_guard, 0},
    {KT_FEATURE_FUTEX_WAITV, ask_futex_waitv, -EINVAL},
    {KT_FEATURE_PIDFD_THREAD, ask_pidfd_thread, -ESRCH},
};

enum { ANSWERED = 16 /* how far to the left of a feature's bit that of its answer lies */ };

/* What the kernel has, and what it has said for good. Two threads that ask at once hear the same. */
static _Atomic(uint32_t) known;

static uint32_t find_out(uint32_t features)
{
    uint32_t heard = 0;
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        uint32_t feature = questions[i].feature;
        long rc = features & feature ? questions[i].ask() : 0;
        if (features & feature && !kt__passes(rc)) {
            heard |= feature << ANSWERED | (rc == questions[i].yes ? feature : 0);
        }
    }
    return atomic_fetch_or_explicit(&known, heard, memory_order_relaxed) | heard;
}

static uint32_t know(uint32_t features)
{
    uint32_t now = atomic_load_explicit(&known, memory_order_relaxed);
    uint32_t open = features & ~(now >> ANSWERED);
    return open ? find_out(open) : now;
}

bool kt__lacks(uint32_t feature)
{
    uint32_t now = know(feature);
    return now >> ANSWERED & feature && !(now & feature);
}

int kt_sanitized(void)
{
    return KT_THREAD_SANITIZER;
}

uint32_t kt_features(void)
{
    uint32_t all = KT_FEATURE_CLONE3 | KT_FEATURE_GUARD | KT_FEATURE_FUTEX_WAITV | KT_FEATURE_PIDFD_THREAD;
    return (know(all) & all) | (KT_THREAD_SANITIZER ? KT_FEATURE_SANITIZED : 0);
}
