/* Stacks: slots of a slab, each above a guard, recycled last-in first-out.
 *
 * Every function here expects the engine's lock (fork.h) to be held. */
#ifndef KT_STACK_H
#define KT_STACK_H

#include <stdbool.h>
#include <stddef.h>

enum { KT_ALTSTACK_SIZE = 32768 };

struct kt__slab;

struct kt__stack {
    char *low;             /* lowest usable byte; the guard lies below */
    size_t size;           /* bytes from low to the top: stack, TLS and descriptor */
    struct kt__slab *slab; /* where it belongs */
    struct kt__stack *next;
    unsigned char uses; /* since its lower pages were last given back */
    bool guarded;
    bool taken;
};

/* A stack of at least `size` bytes into *stack, contents undefined. -ENOMEM. */
int kt__stack_take(size_t size, struct kt__stack **stack);
void kt__stack_give(struct kt__stack *stack);

/* KT_ALTSTACK_SIZE bytes above the stack that belong to it. */
char *kt__stack_altstack(const struct kt__stack *stack);

/* Gives the memory of all free stacks back to the kernel. */
void kt__stack_trim(void);

struct kt__stack_usage {
    size_t taken, free, mapped;
};
struct kt__stack_usage kt__stack_usage_now(void);

#endif
