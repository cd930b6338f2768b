/* The system call that makes a thread. */
#ifndef KT_CLONE_H
#define KT_CLONE_H

#include "base/futex.h"

/* Flags that headers of older kernels lack. */
#define KT_CLONE_NEWTIME       UINT64_C(0x80)
#define KT_CLONE_PIDFD         UINT64_C(0x1000)
#define KT_CLONE_NEWCGROUP     UINT64_C(0x02000000)
#define KT_CLONE_CLEAR_SIGHAND UINT64_C(0x100000000)
#define KT_CLONE_INTO_CGROUP   UINT64_C(0x200000000)

struct kt__clone {
    uint64_t flags;
    char *stack_low;     /* lowest address of the child's stack */
    char *stack_top;     /* its highest, 16-byte aligned */
    uintptr_t tls;       /* thread pointer, with CLONE_SETTLS */
    int32_t *parent_tid; /* with CLONE_PARENT_SETTID */
    kt__word *child_tid; /* with CLONE_CHILD_SETTID and CLONE_CHILD_CLEARTID */
    void (*entry)(void *);
    void *argument;
};

/* The tid of a new thread that runs entry(argument) as its first and last act, or -errno.
 * Signals must be blocked: the child is not fit to run a handler before libc has set it up. */
int kt__clone(const struct kt__clone *clone);

/* The same by clone3; by clone where the kernel or a seccomp profile refuses clone3. */
int kt__clone3(const struct kt__clone *clone);

/* A process, which is a clone without CLONE_THREAD. Fields of `clone` beyond those of a thread, which are
 * left out, are as clone3(2) has them. */
struct kt__clone_process {
    uint64_t flags;
    int32_t exit_signal;
    int32_t cgroup;
    int32_t *pidfd;  /* with CLONE_PIDFD; left alone where clone3 is refused */
    void *child_tid; /* with CLONE_CHILD_SETTID or CLONE_CHILD_CLEARTID */
    const int32_t *set_tid;
    size_t set_tid_count;
    const struct kt__clone *stack; /* with CLONE_VM: stack, TLS, entry and argument, all else ignored */
};

/* The pid; without `stack` also 0 in the child, which returns from the call as from fork(2). -ENOSYS when
 * something is asked for that clone cannot do, where clone3 is refused. */
int kt__clone_process(const struct kt__clone_process *process);

/* csrc/arch: issues the system call of that number with these arguments and answers in the caller alone. The
 * child finds two words on its new stack, a function and its argument, calls the one with the other and ends.
 */
long kt__spawn(long number, long a, long b, long c, long d, long e);

#endif
