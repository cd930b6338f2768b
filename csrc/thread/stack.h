/* Stacks: slots of a slab, each above a guard.
 *
 * kt__stack_take takes a slot: the free one that was given back last, or a new one of the slab.
 * kt__stack_give makes it free again. A free slot keeps its memory until it has been used several times, or
 * until kt__stack_trim, which gives the pages back to the kernel. A slot may be given back only when the
 * kernel has cleared `word` of its thread: no thread runs on it any more.
 *
 * The caller of each function here holds the engine's lock (base/fork.h). */
#ifndef KT_STACK_H
#define KT_STACK_H

#include <stdbool.h>
#include <stddef.h>

enum { KT_ALTSTACK_SIZE = 32768 };

struct kt__slab;

struct kt__stack {
    char *low;             /* lowest usable byte; the guard lies below */
    size_t size;           /* bytes from low to the top: stack, TLS and descriptor */
    struct kt__slab *slab; /* the slab that contains it; NULL for the caller's memory */
    struct kt__stack *next;
    unsigned char uses; /* since its lower pages were last given back */
    bool guarded;
    bool taken;
};

/* Takes a stack of at least `size` bytes above a guard of at least `guard` bytes; its contents are undefined.
 * Returns 0 or -ENOMEM. */
int kt__stack_take(size_t size, size_t guard, struct kt__stack **stack);

/* A stack in the caller's memory, without a guard, for kt__stack_give later. Returns 0 or -ENOMEM. */
int kt__stack_borrow(void *low, size_t size, struct kt__stack **stack);

void kt__stack_give(struct kt__stack *stack);

/* The KT_ALTSTACK_SIZE bytes above the stack, which belong to it unless it is the caller's memory. */
char *kt__stack_altstack(const struct kt__stack *stack);

/* Gives the memory of all free stacks back to the kernel. */
void kt__stack_trim(void);

struct kt__stack_usage {
    size_t taken, free, mapped;
};
struct kt__stack_usage kt__stack_usage_now(void);

#endif
