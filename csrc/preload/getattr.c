/* pthread_getattr_np: what libc's descriptor of an engine's thread does not say. */
#define _GNU_SOURCE
#include "preload/preload.h"

#include "libc/descriptor.h"
#include "thread/thread.h"

/* The top of the stack, in the size that the thread's creator has asked for. The engine's stack may be
 * larger. */
static void set_stack(pthread_attr_t *attributes, const struct kt_thread *thread)
{
    size_t size = thread->stack_size + kt__descriptor_room(&kt__libc);
    if (thread->stack->slab && size <= thread->stack->size) {
        pthread_attr_setstack(attributes, thread->stack->low + thread->stack->size - size, size);
    }
}

KT_INTERPOSED int pthread_getattr_np(pthread_t ident, pthread_attr_t *attributes)
{
    kt_thread *thread = kt_thread_of(ident);
    int rc = kt__preload()->next.getattr(ident, attributes);
    if (rc == 0 && thread) {
        int32_t claim = atomic_load(&thread->claim);
        bool joinable = claim == KT_CLAIM_OWNER || claim == KT_CLAIM_JOINING;
        pthread_attr_setdetachstate(attributes, joinable ? PTHREAD_CREATE_JOINABLE : PTHREAD_CREATE_DETACHED);
        set_stack(attributes, thread);
        pthread_attr_setguardsize(attributes, thread->guard_size);
    }
    return rc;
}
