/* Each feature is probed by a system call that creates nothing and needs no resources, so that the answer
 * depends on little but the feature. An answer that a temporary shortage causes all the same is discarded. */
#define _GNU_SOURCE
#include "base/kernel_features.h"

#include "base/sanitizer.h"
#include "base/syscall.h"

#include <kthreads/kthreads.h>

#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* A kernel that supports clone3 answers EINVAL to a structure of size 0. ENOSYS and EPERM come from kernels,
 * seccomp profiles and emulators that refuse clone3 always. */
static long probe_clone3(void)
{
    return kt__syscall(SYS_clone3, NULL, 0);
}

/* The kernel checks the advice before the range, which is empty. */
static long probe_guard(void)
{
    return kt__syscall(SYS_madvise, NULL, 0, KT_MADV_GUARD_INSTALL);
}

static long probe_futex_waitv(void)
{
    return kt__syscall(SYS_futex_waitv, NULL, 0, 0, NULL, 0);
}

/* The kernel checks the flag before the thread, which does not exist. */
static long probe_pidfd_thread(void)
{
    return kt__syscall(SYS_pidfd_open, INT_MAX, O_EXCL /* PIDFD_THREAD */);
}

static const struct {
    uint32_t feature;
    long (*probe)(void);
    long yes;
} probes[] = {
    {KT_FEATURE_CLONE3, probe_clone3, -EINVAL},
    {KT_FEATURE_GUARD, probe_guard, 0},
    {KT_FEATURE_FUTEX_WAITV, probe_futex_waitv, -EINVAL},
    {KT_FEATURE_PIDFD_THREAD, probe_pidfd_thread, -ESRCH},
};

enum { ANSWERED = 16 /* a feature's "answered" bit lies this far to the left of its own bit */ };

/* The features that the kernel has, and which of them it has answered for. Two threads that probe at once get
 * the same answers. */
static _Atomic(uint32_t) known;

static uint32_t probe(uint32_t features)
{
    uint32_t answers = 0;
    for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++) {
        uint32_t feature = probes[i].feature;
        long rc = features & feature ? probes[i].probe() : 0;
        if (features & feature && !kt__is_transient(rc)) {
            answers |= feature << ANSWERED | (rc == probes[i].yes ? feature : 0);
        }
    }
    return atomic_fetch_or_explicit(&known, answers, memory_order_relaxed) | answers;
}

static uint32_t answers_for(uint32_t features)
{
    uint32_t now = atomic_load_explicit(&known, memory_order_relaxed);
    uint32_t unknown = features & ~(now >> ANSWERED);
    return unknown ? probe(unknown) : now;
}

bool kt__lacks(uint32_t feature)
{
    uint32_t now = answers_for(feature);
    return now >> ANSWERED & feature && !(now & feature);
}

int kt_sanitized(void)
{
    return KT_THREAD_SANITIZER;
}

uint32_t kt_features(void)
{
    uint32_t all = KT_FEATURE_CLONE3 | KT_FEATURE_GUARD | KT_FEATURE_FUTEX_WAITV | KT_FEATURE_PIDFD_THREAD;
    return (answers_for(all) & all) | (KT_THREAD_SANITIZER ? KT_FEATURE_SANITIZED : 0);
}
