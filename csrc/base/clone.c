#include "base/clone.h"

#include "cpu.h"
#include "base/kernel_features.h"
#include "base/syscall.h"

#include <kthreads/kthreads.h>
#include <string.h>

/* The kernel's struct clone_args. Linux 5.3 has the fields up to tls, 5.5 those up to set_tid_size, 5.7 all
 * of them. */
struct clone3_arguments {
    uint64_t flags, pidfd, child_tid, parent_tid, exit_signal, stack, stack_size, tls;
    uint64_t set_tid, set_tid_size;
    uint64_t cgroup;
};

enum {
    SIZE_5_3 = offsetof(struct clone3_arguments, set_tid),
    SIZE_5_5 = offsetof(struct clone3_arguments, cgroup),
    SIZE_5_7 = sizeof(struct clone3_arguments)
};

#define CLONE_INTO_CGROUP_FLAG UINT64_C(0x200000000)
#define CLONE_NEWTIME_FLAG     UINT64_C(0x80)
#define CLONE_PIDFD_FLAG       UINT64_C(0x1000)

/* Stores the function and its argument where the child's first instructions load them. Returns the child's
 * stack pointer. */
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
    if (kt__lacks(KT_FEATURE_CLONE3)) {
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
    return (int)kt__spawn(SYS_clone3, (long)&arguments, SIZE_5_3, 0, 0, 0);
}

static int clone_process_by_clone(const struct kt__clone_process *process)
{
    if (process->flags >> 32 || process->flags & CLONE_NEWTIME_FLAG || process->set_tid_count) {
        return -ENOSYS;
    }
    /* CLONE_PIDFD is left out: kernels before 5.2 ignore it, and emulators refuse it. */
    const struct kt__clone *stack = process->stack;
    long flags = (long)((process->flags & ~CLONE_PIDFD_FLAG) | (uint64_t)process->exit_signal);
    long sp = stack ? (long)push_entry(stack) : 0;
    long ctid = (long)process->child_tid, tls = stack ? (long)stack->tls : 0;
    return (int)(stack ? kt__spawn(SYS_clone, KT_CLONE_ARGUMENTS(flags, sp, 0, ctid, tls))
                       : kt__syscall(SYS_clone, KT_CLONE_ARGUMENTS(flags, sp, 0, ctid, tls)));
}

int kt__clone_process(const struct kt__clone_process *process)
{
    if (kt__lacks(KT_FEATURE_CLONE3)) {
        return clone_process_by_clone(process);
    }
    const struct kt__clone *stack = process->stack;
    struct clone3_arguments arguments = {
        .flags = process->flags,
        .pidfd = process->flags & CLONE_PIDFD_FLAG ? (uint64_t)(uintptr_t)process->pidfd : 0,
        .child_tid = (uint64_t)(uintptr_t)process->child_tid,
        .exit_signal = (uint64_t)process->exit_signal,
        .set_tid = (uint64_t)(uintptr_t)process->set_tid,
        .set_tid_size = process->set_tid_count,
        .cgroup = (uint64_t)process->cgroup,
    };
    /* An older kernel refuses a structure that is larger than its own, unless the fields it does not know are
     * 0. So the size covers no more than the fields in use. */
    long size = process->flags & CLONE_INTO_CGROUP_FLAG ? SIZE_5_7
                : process->set_tid_count                ? SIZE_5_5
                                                        : SIZE_5_3;
    if (!stack) {
        return (int)kt__syscall(SYS_clone3, &arguments, size);
    }
    char *sp = push_entry(stack);
    arguments.stack = (uint64_t)(uintptr_t)stack->stack_low;
    arguments.stack_size = (uint64_t)(sp - stack->stack_low);
    arguments.tls = stack->tls;
    return (int)kt__spawn(SYS_clone3, (long)&arguments, size, 0, 0, 0);
}
