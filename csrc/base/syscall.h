/* base/: the foundations of the engine: system calls, futexes, the mutex, the typed call, clone, the engine's
 * locks and their handling at fork. It knows nothing of threads, pools and processes. It may use arch/ alone.
 *
 * This file: system calls that return a negative errno value, as the kernel does. */
#ifndef KT_SYSCALL_H
#define KT_SYSCALL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

/* System call numbers that the headers of older kernels lack. They are the same on all architectures
 * (include/uapi/asm-generic/unistd.h). */
#ifndef SYS_open_tree
#define SYS_open_tree  428
#define SYS_move_mount 429
#define SYS_fsopen     430
#define SYS_fsconfig   431
#define SYS_fsmount    432
#endif
#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_clone3
#define SYS_clone3 435
#endif
#ifndef SYS_close_range
#define SYS_close_range 436
#endif
#ifndef SYS_openat2
#define SYS_openat2 437
#endif
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif

enum { KT_MADV_GUARD_INSTALL = 102 /* MADV_GUARD_INSTALL, Linux 6.13 */ };

#define kt__syscall(...) kt__negative_errno(syscall(__VA_ARGS__))

static inline long kt__negative_errno(long result)
{
    return result < 0 ? -errno : result;
}

/* Whether an error comes from a temporary shortage: the same call may succeed later, so the error says
 * nothing about the feature. */
static inline bool kt__is_transient(long rc)
{
    return rc == -EAGAIN || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE || rc == -ENOBUFS || rc == -EINTR;
}

/* A kernel signal set: 64 signals, one bit each. glibc's sigset_t is larger, and glibc's wrappers leave
 * signals 32 and 33 out of every set. The engine's sets must include them. */
typedef uint64_t kt__signals;

static inline void kt__set_signals(kt__signals set, kt__signals *old)
{
    syscall(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, &set, old, sizeof set);
}

static inline kt__signals kt__blocked_signals(void)
{
    kt__signals blocked = 0;
    syscall(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, NULL, &blocked, sizeof blocked);
    return blocked;
}

#endif
