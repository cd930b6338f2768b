/* The system calls that make a thread or a process. */
#ifndef KT_CLONE_H
#define KT_CLONE_H

#include "base/futex.h"

/* Flags that the headers of older kernels lack. */
#define KT_CLONE_NEWTIME       UINT64_C(0x80)
#define KT_CLONE_PIDFD         UINT64_C(0x1000)
#define KT_CLONE_NEWCGROUP     UINT64_C(0x02000000)
#define KT_CLONE_CLEAR_SIGHAND UINT64_C(0x100000000)
#define KT_CLONE_INTO_CGROUP   UINT64_C(0x200000000)

struct kt__clone {
    uint64_t flags;
    char *stack_low;     /* lowest address of the child's stack */
    char *stack_top;     /* its highest address, 16-byte aligned */
    uintptr_t tls;       /* the thread pointer, with CLONE_SETTLS */
    int32_t *parent_tid; /* with CLONE_PARENT_SETTID */
    kt__word *child_tid; /* with CLONE_CHILD_SETTID and CLONE_CHILD_CLEARTID */
    void (*entry)(void *);
    void *argument;
};

/* Makes a thread that runs entry(argument) and then ends. Returns its tid, or -errno. The caller must block
 * all signals: the child cannot run a handler before libc has set it up. */
int kt__clone(const struct kt__clone *clone);

/* The same by clone3, or by clone where the kernel or a seccomp profile refuses clone3. */
int kt__clone3(const struct kt__clone *clone);

/* The arguments of a clone without CLONE_THREAD, which makes a process. clone3(2) describes the fields that
 * struct kt__clone does not have. */
struct kt__clone_process {
    uint64_t flags;
    int32_t exit_signal;
    int32_t cgroup;
    int32_t *pidfd;  /* with CLONE_PIDFD; not written where clone3 is refused */
    void *child_tid; /* with CLONE_CHILD_SETTID or CLONE_CHILD_CLEARTID */
    const int32_t *set_tid;
    size_t set_tid_count;
    const struct kt__clone *stack; /* with CLONE_VM: its stack, TLS, entry and argument are used */
};

/* Returns the pid. Without `stack` the child returns from the call, too, with 0, as from fork(2). Returns
 * -ENOSYS where clone3 is refused and the request needs more than clone can do. */
int kt__clone_process(const struct kt__clone_process *process);

/* In csrc/arch: issues the clone or clone3 system call `number` with these arguments. Only the caller
 * returns. The child finds two words on its new stack, a function and its argument. It calls the function
 * with the argument and ends. */
long kt__spawn(long number, long a, long b, long c, long d, long e);

#endif
