/* The parking lot: reusable threads that wait for their next run.
 *
 * When a run ends the thread resets itself, sets `run` to KT_RUN_ENDED and waits for the word to change. The
 * owner that frees the handle puts the thread into the lot. If the owner has freed it before the end of the
 * run, the thread does that itself. A starter takes the thread that was parked last (KT_RUN_TAKEN), fills in
 * the call and sets KT_RUN_ACTIVE. Moves into and out of the lot happen under the engine's lock, and so does
 * the thread's decision to end when its wait has timed out. So a thread either gets a run or ends, never
 * both. The end of a run takes no lock: a thread that waits for it may hold any.
 *
 * A thread that cannot be reset, or whose function calls pthread_exit, has more to do before other threads
 * may see its run as ended: destructors, and what the kernel does about robust mutexes. It sets `run` to
 * KT_RUN_LEAVING and wakes the waiters of that word. From then on they wait for `word`, which the kernel
 * clears.
 *
 * tests/models/ends.pml is a model of this. */
#include "base/fork.h"
#include "thread/thread.h"

static struct kt_thread *lot;
static _Atomic(size_t) lot_count;
static _Atomic(int64_t) park_timeout_ns = 2000000000; /* how long a thread waits in the lot, ns */

void kt_park_timeout(int64_t ns)
{
    atomic_store_explicit(&park_timeout_ns, ns < 0 ? 0 : ns, memory_order_relaxed);
}

/* In a forked child: the parked threads exist only in the parent. */
static void reset_lot(void)
{
    lot = NULL;
    atomic_store_explicit(&lot_count, 0, memory_order_relaxed);
}

static void park(struct kt_thread *thread)
{
    kt__reset_in_child(KT_RESET_PARKING_LOT, reset_lot);
    atomic_store_explicit(&thread->claim, KT_CLAIM_PARKED, memory_order_relaxed);
    thread->link = lot;
    lot = thread;
    atomic_fetch_add_explicit(&lot_count, 1, memory_order_relaxed);
}

static struct kt_thread *take(struct kt_thread **link)
{
    struct kt_thread *thread = *link;
    *link = thread->link;
    atomic_fetch_sub_explicit(&lot_count, 1, memory_order_relaxed);
    return thread;
}

static bool fits(const struct kt_thread *thread, const kt_spec *spec, const struct kt__inherited *starter)
{
    size_t usable = spec->stack_size ? spec->stack_size : KT_STACK_DEFAULT;
    return thread->backend == spec->backend && thread->stack_size == usable &&
           kt__inherited_equal(&thread->inherited, starter);
}

struct kt_thread *kt__unpark(const kt_spec *spec)
{
    struct kt_thread *found = NULL;
    if (kt__parked_count() == 0) {
        return NULL;
    }
    struct kt__inherited starter;
    kt__inherited_get(&starter);
    kt__lock();
    for (struct kt_thread **link = &lot; *link; link = &(*link)->link) {
        if (fits(*link, spec, &starter)) {
            found = take(link);
            atomic_store_explicit(&found->run, KT_RUN_TAKEN, memory_order_relaxed);
            break;
        }
    }
    kt__unlock();
    return found;
}

void kt__resume(struct kt_thread *thread)
{
    /* Release: the thread's acquire load makes the filled-in call visible to it. */
    atomic_store_explicit(&thread->run, KT_RUN_ACTIVE, memory_order_release);
    /* Wakes all: a thread that got the handle early may already wait for the end of the run on this word,
     * ahead of the parked thread. */
    kt__futex_wake(&thread->run, INT_MAX, KT_FUTEX_PRIVATE);
}

/* Decides that the thread takes no further run, whether it is in the lot or an owner still holds the handle
 * of the ended run. Returns false when a starter has just taken the thread for a run. */
static bool retire(struct kt_thread *thread)
{
    kt__lock();
    bool idle = atomic_load_explicit(&thread->run, memory_order_relaxed) == KT_RUN_ENDED;
    if (idle) {
        thread->retired = true; /* for an owner that frees the handle later */
        for (struct kt_thread **link = &lot; *link; link = &(*link)->link) {
            if (*link == thread) {
                take(link);
                kt__thread_abandon(thread);
                break;
            }
        }
    }
    kt__unlock();
    return idle;
}

void kt__park_or_abandon(struct kt_thread *thread)
{
    if (atomic_load(&thread->claim) != KT_CLAIM_DETACHED) {
        return; /* the thread that ends the run and the owner that frees the handle both call this: the other
                   one was first */
    }
    uint32_t run = atomic_load(&thread->run);
    if (!kt__reusable(thread) || thread->retired || run == KT_RUN_LEAVING) {
        kt__thread_abandon(thread);
    } else if (run == KT_RUN_ENDED) {
        park(thread);
    }
}

/* All accesses are sequentially consistent. A waiter counts itself and then reads the word (wait.c): either
 * this thread sees the waiter, or the waiter sees the end. An owner that frees the handle sets the claim and
 * then reads the word, and the same argument holds. By the time this thread reads the claim it may already be
 * in its next run; kt__park_or_abandon checks for that. */
static void end_run(struct kt_thread *thread, enum kt__run end)
{
    bool reusable = kt__reusable(thread); /* read before a starter can start the thread again */
    atomic_store(&thread->run, end);
    if (atomic_load(&thread->waiters) > 0) {
        kt__futex_wake(&thread->run, INT_MAX, KT_FUTEX_PRIVATE);
    }
    if (reusable && atomic_load(&thread->claim) == KT_CLAIM_DETACHED) {
        kt__lock();
        kt__park_or_abandon(thread);
        kt__unlock();
    }
}

void kt__thread_leaving(struct kt_thread *thread)
{
    if (atomic_load(&thread->run) == KT_RUN_ACTIVE) { /* else it was parked, and no thread waits for it */
        end_run(thread, KT_RUN_LEAVING);
    }
}

bool kt__await_run(struct kt_thread *thread)
{
    int64_t timeout_ns = atomic_load_explicit(&park_timeout_ns, memory_order_relaxed);
    if (thread->retired || timeout_ns == 0 || !kt__thread_reset(thread)) {
        return false;
    }
    end_run(thread, KT_RUN_ENDED);
    kt__deadline deadline = kt__deadline_after(timeout_ns);
    for (;;) {
        uint32_t run = atomic_load_explicit(&thread->run, memory_order_acquire);
        if (run == KT_RUN_DISMISSED) {
            return false;
        }
        if (run == KT_RUN_ACTIVE) {
            kt__set_signals(thread->signals, NULL);
            return true;
        }
        if (kt__futex_wait(&thread->run, run, KT_FUTEX_PRIVATE, deadline) == -ETIMEDOUT) {
            if (retire(thread)) {
                return false;
            }
            deadline = -1; /* a starter has taken it: the run will follow */
        }
    }
}

void kt__dismiss_parked(void)
{
    kt__lock();
    while (lot) {
        struct kt_thread *thread = take(&lot);
        kt__thread_abandon(thread);
        atomic_store_explicit(&thread->run, KT_RUN_DISMISSED, memory_order_release);
        kt__futex_wake(&thread->run, 1, KT_FUTEX_PRIVATE);
    }
    kt__unlock();
}

size_t kt__parked_count(void)
{
    return atomic_load_explicit(&lot_count, memory_order_relaxed);
}
