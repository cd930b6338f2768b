/* Waiting for threads to end. */
#include "base/kernel_features.h"
#include "base/fork.h"
#include "libc/descriptor.h"
#include "thread/thread.h"

enum {
    /* A wait for more threads than one futex_waitv supports checks all of them at this interval. */
    CHECK_INTERVAL_NS = 5000000
};

static bool is_self(const struct kt_thread *thread)
{
    return thread->ident && thread->ident == (uintptr_t)pthread_self();
}

/* The kernel wakes only one waiter, so a waiter that leaves after the end wakes all others. A waiter counts
 * itself before it reads the word, so that a thread that ends a run sees the waiter (parking_lot.c). */
static void begin_wait(struct kt_thread *thread)
{
    atomic_fetch_add(&thread->waiters, 1);
}

static void end_wait(struct kt_thread *thread)
{
    if (atomic_fetch_sub(&thread->waiters, 1) > 1) {
        struct kt__await end = kt__end_of(thread);
        if (end.expected == 0) {
            kt__futex_wake(end.word, INT_MAX, end.key);
        }
    }
}

static int wait_until(struct kt_thread *thread, kt__deadline deadline)
{
    struct kt__await end;
    int rc = 0;
    begin_wait(thread);
    while ((end = kt__end_of(thread)).expected != 0 && rc == 0) {
        rc = kt__futex_wait(end.word, end.expected, end.key, deadline);
    }
    end_wait(thread);
    return end.expected == 0 ? 0 : rc;
}

/* libc cancels a thread in a system call that is not its own only while cancellation is asynchronous. So it
 * is for this system call alone. */
static int sleep_cancellable(const struct kt__await *end, kt__deadline deadline)
{
    int type;
    pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type);
    int rc = kt__futex_wait(end->word, end->expected, end->key, deadline);
    pthread_setcanceltype(type, NULL);
    return rc;
}

static int sleep_until_end(struct kt_thread *thread, kt__deadline deadline)
{
    struct kt__await end;
    int rc = 0;
    while ((end = kt__end_of(thread)).expected != 0 && rc == 0) {
        rc = sleep_cancellable(&end, deadline);
    }
    return end.expected == 0 ? 0 : rc;
}

/* The joiner is forgotten before another thread may claim the thread, and store itself there. */
static void end_join(struct kt_thread *thread, enum kt__claim claim)
{
    atomic_store(&thread->joiner, 0);
    atomic_store(&thread->claim, claim);
}

static void give_up_join(void *argument)
{
    struct kt_thread *thread = argument;
    end_wait(thread);
    end_join(thread, KT_CLAIM_OWNER);
}

/* As wait_until, for a thread that the caller is joining. */
static int join_until(struct kt_thread *thread, kt__deadline deadline)
{
    volatile int rc; /* pthread_cleanup_push may call setjmp */
    begin_wait(thread);
    pthread_cleanup_push(give_up_join, thread);
    rc = sleep_until_end(thread, deadline);
    pthread_cleanup_pop(0);
    end_wait(thread);
    return rc;
}

static void *exit_value_of(const struct kt_thread *thread)
{
    return thread->returned || !kt__libc.found.result_offset
               ? (void *)(uintptr_t)thread->call.result
               : kt__descriptor_result(&kt__libc, (const char *)thread->ident);
}

static void fill_in(const struct kt_thread *thread, kt_outcome *outcome)
{
    *outcome = (kt_outcome){.result = thread->call.result,
                            .error = thread->call.error,
                            .tid = kt_thread_tid(thread),
                            .ident = thread->ident,
                            .cpu_ns = thread->cpu_ns,
                            .flags = thread->flags,
                            .reused = thread->reused,
                            .exit_value = exit_value_of(thread)};
}

/* Waits with wait_until or join_until. */
static int wait_with(int (*until)(struct kt_thread *, kt__deadline), kt_thread *thread, int64_t timeout_ns,
                     kt_outcome *outcome)
{
    int rc = 0;
    if (!kt__ended(thread)) {
        rc = is_self(thread)   ? -EDEADLK
             : timeout_ns == 0 ? -ETIMEDOUT
                               : until(thread, kt__deadline_after(timeout_ns));
    }
    if (rc == 0 && outcome) {
        fill_in(thread, outcome);
    }
    return rc;
}

int kt_thread_wait(kt_thread *thread, int64_t timeout_ns, kt_outcome *outcome)
{
    return wait_with(wait_until, thread, timeout_ns, outcome);
}

/* Whether the thread is joining the calling one, which is joining it: neither would end. Each of the two has
 * stored itself as a joiner before it looks. As these accesses are sequentially consistent, at least one sees
 * the other. */
static bool joins_self(struct kt_thread *thread)
{
    kt_thread *self = kt_thread_of((uintptr_t)pthread_self());
    return self && atomic_load(&self->joiner) == thread->ident && !atomic_load(&thread->cancelled) &&
           !kt__ended(thread);
}

static int join_with(int (*until)(struct kt_thread *, kt__deadline), kt_thread *thread, int64_t timeout_ns,
                     kt_outcome *outcome)
{
    int32_t owner = KT_CLAIM_OWNER;
    if (is_self(thread) && !kt__ended(thread)) {
        return -EDEADLK;
    }
    if (!atomic_compare_exchange_strong(&thread->claim, &owner, KT_CLAIM_JOINING)) {
        return -EINVAL;
    }
    atomic_store(&thread->joiner, (uintptr_t)pthread_self());
    int rc = joins_self(thread) ? -EDEADLK : wait_with(until, thread, timeout_ns, outcome);
    end_join(thread, rc == 0 ? KT_CLAIM_JOINED : KT_CLAIM_OWNER);
    return rc;
}

int kt_thread_join(kt_thread *thread, int64_t timeout_ns, kt_outcome *outcome)
{
    return join_with(wait_until, thread, timeout_ns, outcome);
}

int kt_thread_join_cancellable(kt_thread *thread, int64_t timeout_ns, kt_outcome *outcome)
{
    return join_with(join_until, thread, timeout_ns, outcome);
}

static int first_ended(kt_thread *const *threads, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (kt__ended(threads[i])) {
            return (int)i;
        }
    }
    return -1;
}

static kt__deadline earlier(kt__deadline a, kt__deadline b)
{
    return a < 0 || (b >= 0 && b < a) ? b : a;
}

/* Sleeps until one of the first KT_WAITV_MAX threads ends. When there are more threads, it sleeps for
 * CHECK_INTERVAL_NS at most. It does so, too, when the kernel has no futex_waitv or no memory for it; then it
 * waits for the first thread only. */
static int sleep_until_any(kt_thread *const *threads, size_t count, kt__deadline deadline)
{
    struct kt__await awaited[KT_WAITV_MAX];
    size_t watched = count < KT_WAITV_MAX ? count : KT_WAITV_MAX;
    for (size_t i = 0; i < watched; i++) {
        awaited[i] = kt__end_of(threads[i]);
        if (awaited[i].expected == 0) {
            return 0;
        }
    }
    kt__deadline next_check = kt__deadline_after(CHECK_INTERVAL_NS);
    int rc = -ENOSYS;
    if (!kt__lacks(KT_FEATURE_FUTEX_WAITV)) {
        rc = kt__futex_waitv(awaited, watched, watched < count ? earlier(deadline, next_check) : deadline);
    }
    if (rc == -ENOSYS || rc == -EPERM || rc == -ENOMEM) {
        rc = kt__futex_wait(awaited[0].word, awaited[0].expected, awaited[0].key,
                            earlier(deadline, next_check));
    }
    return rc == -ETIMEDOUT && (deadline < 0 || kt__now() < deadline) ? 0 : rc;
}

int kt_thread_wait_any(kt_thread *const *threads, size_t count, int64_t timeout_ns)
{
    if (count == 0 || count > INT_MAX) {
        return -EINVAL;
    }
    kt__deadline deadline = kt__deadline_after(timeout_ns);
    int ended, rc = timeout_ns == 0 ? -ETIMEDOUT : 0;
    for (size_t i = 0; i < count; i++) {
        begin_wait(threads[i]);
    }
    while ((ended = first_ended(threads, count)) < 0 && rc == 0) {
        rc = sleep_until_any(threads, count, deadline);
    }
    for (size_t i = 0; i < count; i++) {
        end_wait(threads[i]);
    }
    return ended >= 0 ? ended : rc;
}

void kt_thread_free(kt_thread *thread)
{
    if (!thread) {
        return;
    }
    /* Another thread may have got the handle, and seen the end, before the starter is done with the record.
     */
    if (!kt__alive(thread) && !atomic_load_explicit(&thread->starting, memory_order_acquire)) {
        kt__thread_recycle(thread);
        return;
    }
    kt__lock();
    /* Sequentially consistent, as the end of a run is (parking_lot.c): either this thread sees that the run
     * has ended, or the thread that ends it sees that it must park or recycle itself. */
    atomic_store(&thread->claim, KT_CLAIM_DETACHED);
    kt__park_or_abandon(thread);
    kt__unlock();
}

int kt_thread_cancel(kt_thread *thread)
{
    if (kt__ended(thread)) {
        return -ESRCH;
    }
    atomic_store(&thread->cancelled, true);
    return -pthread_cancel((pthread_t)thread->ident);
}

int kt_thread_detach(kt_thread *thread)
{
    int32_t owner = KT_CLAIM_OWNER; /* only one of several threads detaches it */
    if (!atomic_compare_exchange_strong(&thread->claim, &owner, KT_CLAIM_JOINED)) {
        return -EINVAL;
    }
    kt_thread_free(thread);
    return 0;
}
