/* pthread_create and thrd_create. */
#define _GNU_SOURCE
#include "preload/preload.h"

#include <errno.h>
#include <threads.h>

static int leave_to_libc(pthread_t *ident, const pthread_attr_t *attributes, kt_routine routine,
                         void *argument, enum kt_handed reason, kt_life *life)
{
    if (life) {
        life->handed = (uint8_t)reason;
    }
    return kt__preload()->next.create(ident, attributes, routine, argument);
}

static int make(pthread_t *ident, const pthread_attr_t *attributes, kt_routine routine, void *argument,
                kt_life *life)
{
    struct kt__wanted wanted;
    kt_thread *thread;
    enum kt_handed reason = kt__wanted_by(attributes, &wanted);
    if (life) {
        life->stack_size = wanted.spec.stack_size;
        life->own_stack = wanted.spec.stack != NULL;
        life->detached = (wanted.spec.options & KT_OPTION_DETACHED) != 0;
    }
    if (wanted.spec.backend == KT_BACKEND_PTHREAD) {
        reason = KT_HANDED_BACKEND;
    }
    if (reason != KT_HANDED_NOT) {
        return leave_to_libc(ident, attributes, routine, argument, reason, life);
    }
    wanted.spec.ident = ident;
    int rc = kt_thread_start_routine(&thread, &wanted.spec, routine, argument);
    if (rc == -ENOTSUP || (rc == -EINVAL && wanted.spec.stack)) {
        reason = rc == -ENOTSUP ? KT_HANDED_LIBC : KT_HANDED_SMALL_STACK;
        return leave_to_libc(ident, attributes, routine, argument, reason, life);
    }
    return rc == -ENOMEM ? EAGAIN : -rc;
}

KT_INTERPOSED int pthread_create(pthread_t *ident, const pthread_attr_t *attributes, kt_routine routine,
                                 void *argument)
{
    const struct kt__preload *preload = kt__preload();
    int error = errno;
    kt_life *life = kt__life_new(routine, argument);
    int rc;
    if (life) {
        rc = make(ident, attributes, kt__life_lead, life, life);
        life->error = rc;
    } else if (preload->backend == KT_BACKEND_PTHREAD) {
        rc = preload->next.create(ident, attributes, routine, argument);
    } else {
        rc = make(ident, attributes, routine, argument, NULL);
    }
    errno = error;
    return rc;
}

/* The calling conventions let a function that returns an int be called as one that returns a pointer, whose
 * upper half is then undefined; thrd_join does not read it. */
KT_INTERPOSED int thrd_create(thrd_t *ident, thrd_start_t function, void *argument)
{
    int rc = pthread_create(ident, NULL, (kt_routine)(void (*)(void))function, argument);
    return rc == 0 ? thrd_success : rc == EAGAIN ? thrd_nomem : thrd_error;
}
