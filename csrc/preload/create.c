/* pthread_create and thrd_create. */
#define _GNU_SOURCE
#include "preload/preload.h"

#include "libc/descriptor.h"
#include "thread/thread.h"

static int leave_to_libc(pthread_t *ident, const pthread_attr_t *attributes, kt_routine routine,
                         void *argument, enum kt_handed reason, kt_life *life)
{
    if (life) {
        life->handed = (uint8_t)reason;
    }
    return kt__preload()->next.create(ident, attributes, routine, argument);
}

/* Why the engine cannot make the thread. Its first call has the engine check this libc. */
static enum kt_handed reason_to_leave(const pthread_attr_t *attributes, struct kt__wanted *wanted)
{
    enum kt_handed reason = kt__wanted_by(attributes, wanted);
    if (wanted->spec.backend == KT_BACKEND_PTHREAD) {
        return KT_HANDED_BACKEND;
    }
    int rc = kt__ready();
    return rc == 0 ? reason : rc == -ENOTSUP ? KT_HANDED_LIBC : KT_HANDED_UNCHECKED;
}

/* The size in the attributes is that of the whole stack, with libc's data. A stack of the engine has its size
 * without them. */
static void leave_room(kt_spec *spec)
{
    size_t room = kt__descriptor_room(&kt__libc);
    if (!spec->stack) {
        spec->stack_size =
            spec->stack_size > room + KT_STACK_MINIMUM ? spec->stack_size - room : KT_STACK_MINIMUM;
    }
}

static void note_attributes(kt_life *life, const kt_spec *spec)
{
    if (life) {
        life->stack_size = spec->stack_size;
        life->own_stack = spec->stack != NULL;
        life->detached = (spec->options & KT_OPTION_DETACHED) != 0;
    }
}

static int make(pthread_t *ident, const pthread_attr_t *attributes, kt_routine routine, void *argument,
                kt_life *life)
{
    struct kt__wanted wanted;
    kt_thread *thread;
    enum kt_handed reason = reason_to_leave(attributes, &wanted);
    note_attributes(life, &wanted.spec);
    if (reason != KT_HANDED_NOT) {
        return leave_to_libc(ident, attributes, routine, argument, reason, life);
    }
    leave_room(&wanted.spec);
    wanted.spec.ident = ident;
    int rc = kt_thread_start_routine(&thread, &wanted.spec, routine, argument);
    if (rc == -EINVAL && wanted.spec.stack) {
        return leave_to_libc(ident, attributes, routine, argument, KT_HANDED_SMALL_STACK, life);
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
    return kt__c11_result(pthread_create(ident, NULL, (kt_routine)(void (*)(void))function, argument));
}
