/* pthread_getattr_np: what libc's descriptor of an engine's thread does not say. */
#define _GNU_SOURCE
#include "preload/preload.h"

#include "thread/thread.h"

KT_INTERPOSED int pthread_getattr_np(pthread_t ident, pthread_attr_t *attributes)
{
    kt_thread *thread = kt_thread_of(ident);
    int rc = kt__preload()->next.getattr(ident, attributes);
    if (rc == 0 && thread) {
        int32_t claim = atomic_load(&thread->claim);
        bool joinable = claim == KT_CLAIM_OWNER || claim == KT_CLAIM_JOINING;
        pthread_attr_setdetachstate(attributes, joinable ? PTHREAD_CREATE_JOINABLE : PTHREAD_CREATE_DETACHED);
        pthread_attr_setguardsize(attributes, kt__stack_guard(thread->stack));
    }
    return rc;
}
