/* The allocator of stacks.
 *
 * One mapping, the slab, holds many stacks of one size class:
 *
 *     | guard | stack, TLS, descriptor | altstack | guard | stack ...
 *
 * So a hundred thousand threads need only a few mappings. Guards are page table markers (MADV_GUARD_INSTALL),
 * which split no mapping. Where the kernel does not support them, mprotect makes the guards, at the cost of
 * two mappings a stack. A freed stack goes to the hot list, and keeps its pages for the next thread. Beyond
 * HOT_LIMIT stacks it goes to the cold list, and its pages go back to the kernel. Beyond FREE_LIMIT bytes of
 * cold stacks the slabs that have no stack in use are unmapped. */
#include "thread/stack.h"

#include "base/kernel_features.h"
#include "base/syscall.h"

#include <kthreads/kthreads.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef KT_VALGRIND
#include <valgrind/memcheck.h> /* valgrind considers the last page of an ended thread's stack dead */
#else
#define VALGRIND_MAKE_MEM_UNDEFINED(address, size) ((void)0)
#endif

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h> /* ASan keeps the red zones of frames that a fork has cut off */
#else
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)0)
#endif

enum {
    SLAB_SIZE = 16 << 20,
    HOT_LIMIT = 64,
    TRIM_EVERY = 16,       /* after so many uses the lower pages of a stack go back to the kernel */
    KEEP_RESIDENT = 65536, /* bytes at the top, which the frames of every thread use */
    FREE_LIMIT = 512 << 20 /* bytes of address space */
};

struct class
{
    size_t size;  /* of each stack */
    size_t guard; /* bytes below each stack */
    struct kt__stack *hot, *cold;
    size_t hot_count, cold_count;
    size_t trim_at; /* the number of cold stacks at which slabs are unmapped */
    struct kt__slab *slabs;
    struct class *next;
};

struct kt__slab {
    struct class *class;
    char *memory;
    size_t bytes;
    size_t count, carved, taken;
    struct kt__slab *next;
    struct kt__stack stacks[];
};

static struct class *classes;

static size_t page_size(void)
{
    static size_t size;
    if (!size) {
        size = (size_t)sysconf(_SC_PAGESIZE);
    }
    return size;
}

static size_t round_up(size_t size, size_t step)
{
    return (size + step - 1) / step * step;
}

static size_t round_up_guard(size_t size)
{
    return round_up(size > KT_GUARD_DEFAULT ? size : KT_GUARD_DEFAULT, page_size());
}

static size_t slot_size(const struct class *class)
{
    return class->guard + class->size + KT_ALTSTACK_SIZE;
}

/* Eight size classes for each power of two: little memory is wasted, and the classes are few whatever sizes
 * are requested. */
static size_t class_size(size_t size)
{
    size_t step = page_size();
    while (size / step >= 16) {
        step *= 2;
    }
    return round_up(size, step);
}

/* When the next trim is due. Each one looks at all slabs: the number of cold stacks has doubled by then. */
static size_t trim_at(const struct class *class)
{
    size_t limit = FREE_LIMIT / slot_size(class) + 1;
    return class->cold_count * 2 > limit ? class->cold_count * 2 : limit;
}

static struct class *class_for(size_t size, size_t guard)
{
    struct class **link = &classes;
    for (; *link; link = &(*link)->next) {
        if ((*link)->size == size && (*link)->guard == guard) {
            return *link;
        }
    }
    *link = calloc(1, sizeof **link);
    if (*link) {
        (*link)->size = size;
        (*link)->guard = guard;
        (*link)->trim_at = trim_at(*link);
    }
    return *link;
}

static struct kt__slab *map_slab(struct class *class)
{
    size_t slot = slot_size(class);
    for (size_t count = slot < SLAB_SIZE ? SLAB_SIZE / slot : 1; count > 0; count /= 2) {
        struct kt__slab *slab = calloc(1, sizeof *slab + count * sizeof slab->stacks[0]);
        if (!slab) {
            return NULL;
        }
        void *memory = mmap(NULL, count * slot, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
        if (memory != MAP_FAILED) {
            /* A huge page that spans many stacks would make each of them fully resident. */
            madvise(memory, count * slot, MADV_NOHUGEPAGE);
            slab->class = class;
            slab->memory = memory;
            slab->bytes = count * slot;
            slab->count = count;
            slab->next = class->slabs;
            class->slabs = slab;
            return slab;
        }
        free(slab);
    }
    return NULL;
}

static int install_guard(struct kt__stack *stack)
{
    size_t size = stack->slab->class->guard;
    char *guard = stack->low - size;
    /* The kernel does not support light guards in locked memory (mlockall). */
    bool light = !kt__lacks(KT_FEATURE_GUARD) && madvise(guard, size, KT_MADV_GUARD_INSTALL) == 0;
    if (!light && mprotect(guard, size, PROT_NONE) < 0) {
        return -ENOMEM; /* the process has max_map_count mappings */
    }
    stack->guarded = true;
    return 0;
}

static struct kt__stack *carve(struct class *class)
{
    struct kt__slab *slab = class->slabs;
    if (!slab || slab->carved == slab->count) {
        slab = map_slab(class);
        if (!slab) {
            return NULL;
        }
    }
    size_t index = slab->carved++;
    struct kt__stack *stack = &slab->stacks[index];
    stack->low = slab->memory + index * slot_size(class) + class->guard;
    stack->size = class->size;
    stack->slab = slab;
    return stack;
}

static void push(struct kt__stack **list, struct kt__stack *stack)
{
    stack->next = *list;
    *list = stack;
}

static struct kt__stack *pop(struct kt__stack **list)
{
    struct kt__stack *stack = *list;
    if (stack) {
        *list = stack->next;
    }
    return stack;
}

static void push_cold(struct class *class, struct kt__stack *stack)
{
    push(&class->cold, stack);
    class->cold_count++;
}

int kt__stack_take(size_t size, size_t guard, struct kt__stack **out)
{
    struct class *class = class_for(class_size(size), round_up_guard(guard));
    if (!class) {
        return -ENOMEM;
    }
    struct kt__stack *stack = pop(&class->hot);
    if (stack) {
        class->hot_count--;
    } else if ((stack = pop(&class->cold))) {
        class->cold_count--;
    } else if (!(stack = carve(class))) {
        return -ENOMEM;
    }
    if (!stack->guarded && install_guard(stack) < 0) {
        push_cold(class, stack);
        return -ENOMEM;
    }
    VALGRIND_MAKE_MEM_UNDEFINED(stack->low, stack->size);
    ASAN_UNPOISON_MEMORY_REGION(stack->low, stack->size);
    stack->taken = true;
    stack->slab->taken++;
    *out = stack;
    return 0;
}

int kt__stack_borrow(void *low, size_t size, struct kt__stack **out)
{
    struct kt__stack *stack = calloc(1, sizeof *stack);
    if (!stack) {
        return -ENOMEM;
    }
    stack->low = low;
    stack->size = size;
    *out = stack;
    return 0;
}

char *kt__stack_altstack(const struct kt__stack *stack)
{
    return stack->low + stack->size;
}

static void unmap(struct kt__slab *slab)
{
    munmap(slab->memory, slab->bytes);
    free(slab);
}

/* Unmaps the slabs that have no stack in use, and drops the pages of the free stacks of the others. */
static void trim_class(struct class *class)
{
    class->hot = class->cold = NULL;
    class->hot_count = class->cold_count = 0;
    struct kt__slab **link = &class->slabs;
    while (*link) {
        struct kt__slab *slab = *link;
        if (slab->taken == 0) {
            *link = slab->next;
            unmap(slab);
            continue;
        }
        for (size_t i = 0; i < slab->carved; i++) {
            struct kt__stack *stack = &slab->stacks[i];
            if (!stack->taken) {
                madvise(stack->low, stack->size + KT_ALTSTACK_SIZE, MADV_DONTNEED);
                push_cold(class, stack);
            }
        }
        link = &slab->next;
    }
    class->trim_at = trim_at(class);
}

void kt__stack_give(struct kt__stack *stack)
{
    if (!stack->slab) {
        free(stack);
        return;
    }
    struct class *class = stack->slab->class;
    stack->taken = false;
    stack->slab->taken--;
    if (class->hot_count >= HOT_LIMIT) {
        madvise(stack->low, stack->size + KT_ALTSTACK_SIZE, MADV_DONTNEED);
        push_cold(class, stack);
        if (class->cold_count >= class->trim_at) {
            trim_class(class);
        }
        return;
    }
    /* A deep recursion must not keep its pages for ever, but a system call for each thread would cost too
     * much. */
    if (++stack->uses == TRIM_EVERY) {
        stack->uses = 0;
        if (stack->size > KEEP_RESIDENT) {
            madvise(stack->low, stack->size - KEEP_RESIDENT, MADV_DONTNEED);
        }
    }
    push(&class->hot, stack);
    class->hot_count++;
}

void kt__stack_trim(void)
{
    for (struct class *class = classes; class; class = class->next) {
        trim_class(class);
    }
}

struct kt__stack_usage kt__stack_usage_now(void)
{
    struct kt__stack_usage usage = {0};
    for (struct class *class = classes; class; class = class->next) {
        for (struct kt__slab *slab = class->slabs; slab; slab = slab->next) {
            usage.taken += slab->taken;
            usage.free += slab->carved - slab->taken;
            usage.mapped += slab->bytes;
        }
    }
    return usage;
}
