/* Stacks: slots of a slab, each above a guard.
 *
 * A slot goes from free to taken (kt__stack_take: the last one that was given back, or a new one of the slab)
 * and back (kt__stack_give). A free slot keeps its memory until it has been used several times or until
 * kt__stack_trim, which gives the pages back to the kernel. A slot is given back only when the kernel has
 * cleared `word` of its thread: no thread runs on it any more.
 *
 * Every function here expects the caller to hold the engine's lock (base/fork.h). */
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
