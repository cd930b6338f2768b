/* The memory of children that share the parent's memory: a stack, a thread descriptor, and the word that the
 * kernel clears. */
#include "libc/descriptor.h"
#include "base/fork.h"
#include "process/process.h"
#include "thread/stack.h"
#include "thread/thread.h"

#include <stdlib.h>

struct kt_process_memory {
    /* The kernel clears it when the child leaves this address space, by exec or by its end. */
    kt__word word;
    struct kt__stack *stack;
    char *descriptor; /* NULL for a child that uses the TLS of its suspended parent */
    struct kt__child child;
    struct kt_process_memory *next;
};

static struct kt_process_memory *abandoned; /* guarded by the engine's lock */

static void recycle(struct kt_process_memory *memory)
{
    if (memory->descriptor) {
        kt__descriptor_drop(&kt__libc, memory->descriptor);
    }
    kt__stack_give(memory->stack);
    free(memory);
}

static void recycle_abandoned(void)
{
    struct kt_process_memory **link = &abandoned;
    while (*link) {
        struct kt_process_memory *memory = *link;
        if (atomic_load_explicit(&memory->word, memory_order_acquire) == 0) {
            *link = memory->next;
            recycle(memory);
        } else {
            link = &memory->next;
        }
    }
}

static int take_stack(struct kt_process_memory *memory, bool with_tls)
{
    size_t asked = memory->child.spec.stack_size, size = asked ? asked : KT_STACK_DEFAULT;
    kt__lock();
    recycle_abandoned();
    int rc = kt__stack_take(size + (with_tls ? kt__descriptor_room(&kt__libc) : 0), 0, &memory->stack);
    kt__unlock();
    return rc;
}

static void give_stack(struct kt_process_memory *memory)
{
    kt__lock();
    kt__stack_give(memory->stack);
    kt__unlock();
}

/* Takes a stack, and makes a descriptor with TLS when there is a routine: libc then treats the child as a
 * thread. */
static int take_stack_and_tls(struct kt_process_memory *memory, void *(*routine)(void *),
                              struct kt__clone *stack)
{
    int rc = take_stack(memory, routine != NULL);
    if (rc < 0) {
        return rc;
    }
    stack->argument = &memory->child;
    stack->stack_low = memory->stack->low;
    stack->stack_top = memory->stack->low + memory->stack->size;
    if (!routine) {
        return 0;
    }
    /* The descriptor is not added to libc's list: an operation on all threads of this process, such as
     * setuid, must not include the child. */
    struct kt__descriptor descriptor;
    rc = kt__descriptor_make(&kt__libc, memory->stack->low, memory->stack->size, routine, stack->argument,
                             &descriptor);
    if (rc < 0) {
        give_stack(memory);
        return rc;
    }
    memory->descriptor = descriptor.address;
    memory->child.tid = kt__descriptor_tid(&kt__libc, descriptor.address);
    stack->stack_top = descriptor.stack_top;
    stack->tls = descriptor.tls;
    stack->entry = kt__libc.start_thread;
    stack->argument = descriptor.address;
    return 0;
}

int kt__process_memory_take(struct kt_process_memory **out, const struct kt__child *child,
                            void *(*routine)(void *), struct kt__clone *stack)
{
    struct kt_process_memory *memory = calloc(1, sizeof *memory);
    if (!memory) {
        return -ENOMEM;
    }
    memory->child = *child;
    atomic_store_explicit(&memory->word, KT_STARTING, memory_order_relaxed);
    int rc = take_stack_and_tls(memory, routine, stack);
    if (rc < 0) {
        free(memory);
        return rc;
    }
    *out = memory;
    return 0;
}

struct kt__child *kt__process_memory_child(struct kt_process_memory *memory)
{
    return &memory->child;
}

kt__word *kt__process_memory_word(struct kt_process_memory *memory)
{
    return &memory->word;
}

void kt__process_memory_unused(struct kt_process_memory *memory)
{
    atomic_store_explicit(&memory->word, 0, memory_order_relaxed);
}

void kt__process_memory_give(struct kt_process_memory *memory)
{
    kt__lock();
    memory->next = abandoned;
    abandoned = memory;
    recycle_abandoned();
    kt__unlock();
}
