/* The parking lot: reusable threads that wait for their next run.
 *
 * When a run ends the thread makes itself fresh, sets `run` to KT_RUN_ENDED and waits for the word to
 * change. Whoever gives the handle up puts the thread into the lot; where that was before the end of the
 * run, the thread does it itself. Whoever starts a thread takes the last one in (KT_RUN_TAKEN), fills in the
 * call and sets KT_RUN_ACTIVE. Moves in and out of the lot, and the thread's decision to leave after
 * waiting in vain, happen under the engine's lock, so that a thread is either given a run or gone, never
 * both. The end of a run takes no lock: who waits for it may hold some.
 *
 * A thread that cannot be made fresh, or that its function ends by pthread_exit, has more to do before
 * anybody may see its run as ended: destructors, and what the kernel does about robust mutexes. It sets `run`
 * to KT_RUN_LEAVING, wakes those who wait for that word, and they wait for the one that the kernel clears.
 *
 * tests/models/ends.pml is the model of this. */
#include "base/fork.h"
#include "thread/thread.h"

static struct kt_thread *lot;
static _Atomic(size_t) lot_count;
static _Atomic(int64_t) patience = 2000000000; /* ns a thread waits in the lot */

void kt_park_timeout(int64_t ns)
{
    atomic_store_explicit(&patience, ns < 0 ? 0 : ns, memory_order_relaxed);
}

/* In a forked child: the threads of the lot are the parent's. */
static void forget_parked(void)
{
    lot = NULL;
    atomic_store_explicit(&lot_count, 0, memory_order_relaxed);
}

static void park(struct kt_thread *thread)
{
    kt__reset_in_child(KT_RESET_PARKING_LOT, forget_parked);
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
           kt__inherits_alike(&thread->inherited, starter);
}

struct kt_thread *kt__unpark(const kt_spec *spec)
{
    struct kt_thread *found = NULL;
    if (kt__parked_count() == 0) {
        return NULL;
    }
    struct kt__inherited starter;
    kt__inherited_now(&starter);
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
    /* Release: the thread's acquire load sees the call that was filled in. */
    atomic_store_explicit(&thread->run, KT_RUN_ACTIVE, memory_order_release);
    /* All: who was given the handle early may wait already, and be the first in line. */
    kt__futex_wake(&thread->run, INT_MAX, KT_FUTEX_PRIVATE);
}

/* Out of the lot, or from an owner who still holds the handle of the ended run: no further run.
 * False when somebody has just taken the thread for one. */
static bool give_up(struct kt_thread *thread)
{
    kt__lock();
    bool idle = atomic_load_explicit(&thread->run, memory_order_relaxed) == KT_RUN_ENDED;
    if (idle) {
        thread->left = true; /* for an owner who gives up the handle later */
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

void kt__take_over(struct kt_thread *thread)
{
    if (atomic_load(&thread->claim) != KT_CLAIM_DETACHED) {
        return; /* the other of the two, who gives it up and who ends the run, has come first */
    }
    uint32_t run = atomic_load(&thread->run);
    if (!kt__reusable(thread) || thread->left || run == KT_RUN_LEAVING) {
        kt__thread_abandon(thread);
    } else if (run == KT_RUN_ENDED) {
        park(thread);
    }
}

/* Sequentially consistent, all of it. A waiter counts itself and looks at the word (wait.c): either this
 * thread sees the waiter, or the waiter sees the end. Who gives the handle up says so and looks at the word:
 * likewise. By the time that this thread looks at the claim it may be in its next run, which kt__take_over
 * sees. */
static void end_run(struct kt_thread *thread, enum kt__run end)
{
    bool reusable = kt__reusable(thread); /* before somebody else starts it again */
    atomic_store(&thread->run, end);
    if (atomic_load(&thread->waiters) > 0) {
        kt__futex_wake(&thread->run, INT_MAX, KT_FUTEX_PRIVATE);
    }
    if (reusable && atomic_load(&thread->claim) == KT_CLAIM_DETACHED) {
        kt__lock();
        kt__take_over(thread);
        kt__unlock();
    }
}

void kt__leave(struct kt_thread *thread)
{
    if (atomic_load(&thread->run) == KT_RUN_ACTIVE) { /* else nobody waits for it: it was parked */
        end_run(thread, KT_RUN_LEAVING);
    }
}

bool kt__await_run(struct kt_thread *thread)
{
    if (thread->left || !kt__make_fresh(thread)) {
        return false;
    }
    end_run(thread, KT_RUN_ENDED);
    kt__deadline deadline = kt__deadline_after(atomic_load_explicit(&patience, memory_order_relaxed));
    for (;;) {
        uint32_t run = atomic_load_explicit(&thread->run, memory_order_acquire);
        if (run == KT_RUN_ACTIVE || run == KT_RUN_DISMISSED) {
            return run == KT_RUN_ACTIVE;
        }
        if (kt__futex_wait(&thread->run, run, KT_FUTEX_PRIVATE, deadline) == -ETIMEDOUT) {
            if (give_up(thread)) {
                return false;
            }
            deadline = -1; /* taken: the run is on its way */
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
