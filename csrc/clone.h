/* The system call that makes a thread. */
#ifndef KT_CLONE_H
#define KT_CLONE_H

#include "futex.h"

#include <stdbool.h>

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

/* Whether this process may use clone3, found by a call that makes nothing. */
bool kt__clone3_allowed(void);

#endif
