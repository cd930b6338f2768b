/* System calls that answer with a negative errno value, like the kernel does. */
#ifndef KT_SYSCALL_H
#define KT_SYSCALL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#define kt__syscall(...) kt__negative_errno(syscall(__VA_ARGS__))

static inline long kt__negative_errno(long result)
{
    return result < 0 ? -errno : result;
}

/* A refusal for want of something that may be there the next time: it says nothing about what was asked for.
 */
static inline bool kt__passes(long rc)
{
    return rc == -EAGAIN || rc == -ENOMEM || rc == -EMFILE || rc == -ENFILE || rc == -ENOBUFS || rc == -EINTR;
}

/* A kernel signal set: one bit a signal, 64 of them. glibc's sigset_t is larger, and its wrappers
 * keep signals 32 and 33 for themselves; ours must not. */
typedef uint64_t kt__signals;

static inline void kt__set_signals(kt__signals set, kt__signals *old)
{
    syscall(SYS_rt_sigprocmask, 2 /* SIG_SETMASK */, &set, old, sizeof set);
}

#endif
