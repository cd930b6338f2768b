#include "libc/descriptor.h"

#include "cpu.h"
#include "base/mutex.h"

#include <string.h>

/* The room for pthread_create's use, where the probe has failed or a sanitizer enlarges the TLS. */
enum { UNKNOWN_ROOM = 2 << 20 };

static uintptr_t align_down(uintptr_t address, size_t alignment)
{
    return address & ~(uintptr_t)(alignment - 1);
}

static size_t alignment_of(const struct kt__libc *libc)
{
    return libc->found.tls_align > 64 ? libc->found.tls_align : 64;
}

size_t kt__descriptor_room(const struct kt__libc *libc)
{
    /* tls_size includes the descriptor on variant II, but not on variant I. Alignment costs at most twice. */
    size_t room = libc->found.tls_size + libc->found.descriptor_size + 2 * alignment_of(libc);
    return libc->found.tls_size ? room : UNKNOWN_ROOM;
}

/* The bytes of static TLS, without the descriptor. */
static size_t tls_size(const struct kt__libc *libc)
{
    return libc->found.tls_size - (KT_TLS_BELOW ? libc->found.descriptor_size : 0);
}

/* Places the descriptor, the thread pointer and the top of the stack below `top` (nptl/allocatestack.c).
 * Returns the lowest byte of static TLS. */
static char *lay_out(const struct kt__libc *libc, char *top, struct kt__descriptor *out)
{
    size_t alignment = alignment_of(libc);
    uintptr_t end = (uintptr_t)top;
    if (KT_TLS_BELOW) {
        out->address = (char *)align_down(end - libc->found.descriptor_size, alignment);
        out->tls = (uintptr_t)out->address;
        char *tls_low = out->address - tls_size(libc);
        out->stack_top = (char *)align_down((uintptr_t)tls_low, 64);
        return tls_low;
    }
    out->tls = align_down(end - libc->found.tls_size, alignment);
    out->address = (char *)out->tls - libc->found.descriptor_size;
    out->stack_top = (char *)align_down((uintptr_t)out->address, 64);
    return (char *)out->tls;
}

static void put_word(char *descriptor, size_t offset, const void *value)
{
    memcpy(descriptor + offset, &value, sizeof value);
}

static struct kt__ring *ring_of(const struct kt__libc *libc, char *descriptor)
{
    return (struct kt__ring *)(void *)(descriptor + libc->found.list_offset);
}

void *kt__descriptor_result(const struct kt__libc *libc, const char *descriptor)
{
    void *result;
    memcpy(&result, descriptor + libc->found.result_offset, sizeof result);
    return result;
}

int32_t *kt__descriptor_tid(const struct kt__libc *libc, char *descriptor)
{
    return (int32_t *)(void *)(descriptor + libc->found.tid_offset);
}

void kt__descriptor_set_signals(const struct kt__libc *libc, char *descriptor, kt__signals mask)
{
    memcpy(descriptor + libc->found.signal_mask_offset, &mask, sizeof mask);
}

/* Words of the template that point into the probe's descriptor are made to point into this one. */
static void rebase(const struct kt__libc *libc, char *descriptor)
{
    for (size_t i = 0; i < libc->rebased_count; i++) {
        uintptr_t value;
        memcpy(&value, descriptor + libc->rebased[i], sizeof value);
        put_word(descriptor, libc->rebased[i], descriptor + (value - libc->template_address));
    }
}

int kt__descriptor_make(const struct kt__libc *libc, char *low, size_t size, void *(*routine)(void *),
                        void *argument, struct kt__descriptor *out)
{
    const kt_libc *found = &libc->found;
    void *dtv;
    char *tls_low = lay_out(libc, low + size, out);
    if (!libc->threads) {
        /* Static TLS holds room for libraries that are loaded later. When one is, libc initialises its part
         * only on the threads of its list. */
        memset(tls_low, 0, tls_size(libc));
    }
    if (!libc->allocate_tls((void *)out->tls)) {
        return -ENOMEM;
    }

    /* On variant II the DTV pointer, which allocate_tls has just stored, is a field of the descriptor. The
     * template overwrites it. */
    memcpy(&dtv, out->address + libc->dtv_offset, sizeof dtv);
    memcpy(out->address, libc->template, found->descriptor_size);
    rebase(libc, out->address);
    put_word(out->address, libc->dtv_offset, dtv);

    /* Until clone stores the tid, no thread signals this one. */
    *kt__descriptor_tid(libc, out->address) = 0;
    put_word(out->address, found->start_routine_offset, (void *)(uintptr_t)routine);
    put_word(out->address, found->start_routine_offset + 8, argument);
    put_word(out->address, found->stack_block_offset, low);
    put_word(out->address, found->stack_block_offset + 8, (void *)size);

    /* The ring is linked to itself. Where libc's list is not used, this keeps a fork in the thread correct:
     * libc's fork unlinks the forking thread in any case. */
    struct kt__ring *ring = ring_of(libc, out->address);
    ring->next = ring->prev = ring;
    return 0;
}

void kt__descriptor_drop(const struct kt__libc *libc, char *descriptor)
{
    char *tls = KT_TLS_BELOW ? descriptor : descriptor + libc->found.descriptor_size;
    libc->deallocate_tls(tls, false);
}

void kt__descriptor_link(const struct kt__libc *libc, char *descriptor)
{
    struct kt__ring *head = libc->threads;
    struct kt__ring *ring = ring_of(libc, descriptor);
    if (!head) {
        return;
    }
    kt__mutex_lock(libc->threads_lock);
    ring->next = head->next;
    ring->prev = head;
    /* libc's own readers hold the lock. A debugger may stop this thread at any point and follow `next`, so
     * the new entry's links are stored before it becomes reachable. */
    atomic_thread_fence(memory_order_release);
    head->next->prev = ring;
    head->next = ring;
    kt__mutex_unlock(libc->threads_lock);
}

void kt__descriptor_unlink(const struct kt__libc *libc, char *descriptor)
{
    struct kt__ring *ring = ring_of(libc, descriptor);
    if (!libc->threads) {
        return;
    }
    kt__mutex_lock(libc->threads_lock);
    ring->next->prev = ring->prev;
    ring->prev->next = ring->next;
    kt__mutex_unlock(libc->threads_lock);
}
