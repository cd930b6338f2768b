#include "clone.h"

#include "cpu.h"
#include "syscall.h"

#include <string.h>

#ifndef SYS_clone3
#define SYS_clone3 435
#endif

/* struct clone_args of the kernel, as of 5.3 (CLONE_ARGS_SIZE_VER0). */
struct clone3_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
};

/* csrc/arch: answers in the parent alone. */
long kt__spawn(long number, long a, long b, long c, long d, long e);

/* Leaves function and argument where the child's first instructions look for them. */
static char *push_entry(const struct kt__clone *clone)
{
    void **words = (void **)(void *)clone->stack_top - 2;
    void (*entry)(void *) = clone->entry;
    memcpy(&words[0], &entry, sizeof entry);
    words[1] = clone->argument;
    return (char *)words;
}

int kt__clone(const struct kt__clone *clone)
{
    long sp = (long)push_entry(clone);
    return (int)kt__spawn(SYS_clone, KT_CLONE_ARGUMENTS((long)clone->flags, sp, (long)clone->parent_tid,
                                                        (long)clone->child_tid, (long)clone->tls));
}

int kt__clone3(const struct kt__clone *clone)
{
    if (!kt__clone3_allowed()) {
        return kt__clone(clone);
    }
    char *sp = push_entry(clone);
    struct clone3_arguments arguments = {
        .flags = clone->flags,
        .child_tid = (uint64_t)(uintptr_t)clone->child_tid,
        .parent_tid = (uint64_t)(uintptr_t)clone->parent_tid,
        .stack = (uint64_t)(uintptr_t)clone->stack_low,
        .stack_size = (uint64_t)(sp - clone->stack_low),
        .tls = clone->tls,
    };
    return (int)kt__spawn(SYS_clone3, (long)&arguments, sizeof arguments, 0, 0, 0);
}

bool kt__clone3_allowed(void)
{
    enum { UNKNOWN, ALLOWED, REFUSED };
    static _Atomic(int) answer = UNKNOWN;
    int known = atomic_load_explicit(&answer, memory_order_relaxed);
    if (known == UNKNOWN) {
        /* A structure of size 0 is EINVAL to a kernel that would have read it; ENOSYS and EPERM
         * come from kernels, seccomp profiles and emulators that never will. */
        known = kt__syscall(SYS_clone3, NULL, 0) == -EINVAL ? ALLOWED : REFUSED;
        atomic_store_explicit(&answer, known, memory_order_relaxed);
    }
    return known == ALLOWED;
}
