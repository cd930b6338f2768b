/* The joins of pthreads and of C11's threads, their detachment, and what cancellation means for joins. */
#define _GNU_SOURCE
#include "preload/preload.h"

#include "thread/thread.h"

/* The thread that is joining the main thread, which is libc's; 0 for none. */
static _Atomic(pthread_t) main_joiner;

static void forget_main_joiner(void *unused)
{
    (void)unused;
    atomic_store(&main_joiner, 0);
}

/* Whether a thread of libc is joining the calling thread, which is the engine's. libc does not know that. */
static bool joins_self(pthread_t ident)
{
    kt_thread *self = kt_thread_of(pthread_self());
    return self && atomic_load(&self->joiner) == ident;
}

/* Joins a thread of libc. */
static int join_libcs(pthread_t ident, void **value, clockid_t clock, const struct timespec *end)
{
    const struct kt__preload *preload = kt__preload();
    volatile int rc; /* pthread_cleanup_push may call setjmp */
    if (joins_self(ident)) {
        return EDEADLK;
    }
    if (ident != preload->main_thread) {
        return end ? preload->next.clockjoin(ident, value, clock, end) : preload->next.join(ident, value);
    }
    atomic_store(&main_joiner, pthread_self());
    pthread_cleanup_push(forget_main_joiner, NULL);
    rc = end ? preload->next.clockjoin(ident, value, clock, end) : preload->next.join(ident, value);
    pthread_cleanup_pop(1);
    return rc;
}

/* The ns until a time; 0 when it has passed, and -1 for NULL. */
static int64_t left_until(clockid_t clock, const struct timespec *end)
{
    struct timespec now;
    int64_t seconds, left;
    if (!end) {
        return -1;
    }
    clock_gettime(clock, &now);
    if (__builtin_sub_overflow((int64_t)end->tv_sec, (int64_t)now.tv_sec, &seconds) ||
        __builtin_mul_overflow(seconds, INT64_C(1000000000), &left) ||
        __builtin_add_overflow(left, (int64_t)end->tv_nsec - now.tv_nsec, &left)) {
        return end->tv_sec < 0 ? 0 : INT64_MAX;
    }
    return left > 0 ? left : 0;
}

static bool is_valid(clockid_t clock, const struct timespec *end)
{
    return !end || ((clock == CLOCK_REALTIME || clock == CLOCK_MONOTONIC) && end->tv_nsec >= 0 &&
                    end->tv_nsec < 1000000000);
}

/* Ends a join of the engine's thread that has succeeded. */
static void finish(kt_thread *thread, const kt_outcome *outcome, void **value)
{
    if (value) {
        *value = outcome->exit_value;
    }
    kt_thread_free(thread);
}

static bool joins_main(kt_thread *thread)
{
    return atomic_load(&main_joiner) == thread->ident && !atomic_load(&thread->cancelled);
}

static int join_engines(kt_thread *thread, void **value, clockid_t clock, const struct timespec *end)
{
    kt_outcome outcome;
    int rc;
    if (joins_main(thread) && pthread_self() == kt__preload()->main_thread) {
        return EDEADLK;
    }
    if (atomic_load(&thread->claim) == KT_CLAIM_PARKED) {
        return ESRCH; /* it was joined before, and libc says so then */
    }
    do {
        rc = kt_thread_join_cancellable(thread, left_until(clock, end), &outcome);
    } while (rc == -EINTR);
    if (rc == 0) {
        finish(thread, &outcome, value);
    }
    return -rc;
}

static void record_join(kt_life *life, int64_t begin)
{
    if (life) {
        life->join_ns = begin;
        life->joined_ns = kt__now();
    }
}

/* A joined thread's ident may be that of a new thread at once, and so its life is looked up before, unless it
 * has not begun by then. */
static int join_until(pthread_t ident, void **value, clockid_t clock, const struct timespec *end)
{
    int error = errno;
    kt_thread *thread = kt_thread_of(ident);
    if (!is_valid(clock, end) && (!thread || kt_thread_alive(thread))) {
        return EINVAL;
    }
    kt_life *life = kt__life_of(ident);
    int64_t begin = kt__now();
    int rc = thread ? join_engines(thread, value, clock, end) : join_libcs(ident, value, clock, end);
    if (rc == 0) {
        record_join(life ? life : kt__life_of(ident), begin);
    }
    errno = error;
    return rc;
}

KT_INTERPOSED int pthread_join(pthread_t ident, void **value)
{
    return join_until(ident, value, CLOCK_REALTIME, NULL);
}

KT_INTERPOSED int pthread_timedjoin_np(pthread_t ident, void **value, const struct timespec *end)
{
    return join_until(ident, value, CLOCK_REALTIME, end);
}

KT_INTERPOSED int pthread_clockjoin_np(pthread_t ident, void **value, clockid_t clock,
                                       const struct timespec *end)
{
    return join_until(ident, value, clock, end);
}

static int try_engines(kt_thread *thread, void **value)
{
    kt_outcome outcome;
    if (kt_thread_alive(thread)) {
        return EBUSY;
    }
    int rc = kt_thread_join(thread, 0, &outcome);
    if (rc == 0) {
        finish(thread, &outcome, value);
    }
    return -rc;
}

KT_INTERPOSED int pthread_tryjoin_np(pthread_t ident, void **value)
{
    kt_thread *thread = kt_thread_of(ident);
    kt_life *life = kt__life_of(ident);
    int64_t begin = kt__now();
    int rc = thread ? try_engines(thread, value) : kt__preload()->next.tryjoin(ident, value);
    if (rc == 0) {
        record_join(life, begin);
    }
    return rc;
}

KT_INTERPOSED int pthread_detach(pthread_t ident)
{
    int error = errno;
    kt_thread *thread = kt_thread_of(ident);
    kt_life *life = kt__life_of(ident);
    int rc = thread ? -kt_thread_detach(thread) : kt__preload()->next.detach(ident);
    if (rc == 0) {
        kt__life_detached(ident, life);
    }
    errno = error;
    return rc;
}

KT_INTERPOSED int pthread_cancel(pthread_t ident)
{
    kt_thread *thread = kt_thread_of(ident);
    if (thread) {
        atomic_store(&thread->cancelled, true);
    }
    return kt__preload()->next.cancel(ident);
}

KT_INTERPOSED int thrd_join(thrd_t ident, int *value)
{
    void *result;
    int rc = pthread_join(ident, &result);
    if (rc == 0 && value) {
        *value = (int)(uintptr_t)result;
    }
    return kt__c11_result(rc);
}

KT_INTERPOSED int thrd_detach(thrd_t ident)
{
    return kt__c11_result(pthread_detach(ident));
}
