/* A task: its states, waiting for its end, and its run on a worker. */
#define _GNU_SOURCE
#include "pool/task.h"

#include "base/spin.h"
#include "pool/queue.h"

#include <errno.h>
#include <limits.h>

/* From one state to another, whoever waits. False when it is in neither. */
static bool move(struct kt_task *task, uint32_t from, uint32_t to)
{
    uint32_t state = atomic_load(kt__task_state(task));
    while ((state & KT_TASK_STATE) == from) {
        if (atomic_compare_exchange_weak(kt__task_state(task), &state,
                                         (state & ~(uint32_t)KT_TASK_STATE) | to)) {
            return true;
        }
    }
    return false;
}

int kt_task_state_of(const kt_task *task)
{
    return (int)(atomic_load(kt__task_state(task)) & KT_TASK_STATE);
}

int kt_task_cancel(kt_task *task)
{
    if (!move(task, KT_TASK_QUEUED, KT_TASK_CANCELLED)) {
        return -EBUSY;
    }
    kt__futex_wake(kt__task_state(task), INT_MAX, KT_FUTEX_PRIVATE);
    return 0;
}

static bool over(uint32_t state)
{
    return (state & KT_TASK_STATE) >= KT_TASK_DONE;
}

int kt_task_watch(kt_task *task)
{
    uint32_t state = atomic_load(kt__task_state(task));
    do {
        if (over(state)) {
            return -EALREADY;
        }
    } while (!atomic_compare_exchange_weak(kt__task_state(task), &state, state | KT_TASK_WATCHED));
    return 0;
}

/* Whether a task is over after at most so long. */
static bool spin_for(kt__word *word, int64_t spin_ns)
{
    struct kt__spin spin = {.budget_ns = spin_ns};
    bool is_over;
    while (!(is_over = over(atomic_load(word))) && kt__spin(&spin)) {
    }
    return is_over;
}

int kt_task_wait(kt_task *task, int64_t spin_ns, int64_t timeout_ns)
{
    kt__word *word = kt__task_state(task);
    kt__deadline deadline = kt__deadline_after(timeout_ns);
    if (task->met && timeout_ns != 0 && spin_for(word, spin_ns)) {
        return 0;
    }
    uint32_t state = atomic_load(word);
    do {
        if (over(state)) {
            return 0;
        }
    } while (!atomic_compare_exchange_weak(word, &state, state + KT_TASK_ONE_WAITER));
    int rc = 0;
    while (!over(state = atomic_load(word)) && rc == 0) {
        rc = kt__futex_wait(word, state, KT_FUTEX_PRIVATE, deadline);
    }
    /* No longer a waiter, unless it is over, when the word is not the engine's any more. */
    while (!over(state)) {
        if (atomic_compare_exchange_weak(word, &state, state - KT_TASK_ONE_WAITER)) {
            return rc;
        }
    }
    return 0;
}

static void finish(struct kt__worker *worker, struct kt_task *task)
{
    bool comes_back = task->completions; /* else it is its owner's as soon as it is done */
    uint32_t state = atomic_exchange(kt__task_state(task), KT_TASK_DONE);
    if (state >= KT_TASK_ONE_WAITER) {
        kt__futex_wake(kt__task_state(task), INT_MAX, KT_FUTEX_PRIVATE);
    }
    if (comes_back) {
        kt__task_complete(worker, task, state & KT_TASK_WATCHED);
    }
}

uint32_t kt_pool_unfinished(const kt_pool *pool)
{
    return atomic_load(&pool->unfinished);
}

bool kt__task_run_next(struct kt__worker *worker)
{
    struct kt_pool *pool = worker->pool;
    uint64_t generation = worker->generation;
    struct kt_task *task = kt__queue_take(pool);
    if (!task) {
        return false;
    }
    kt__queue_announce_room(pool);
    if (kt__tasks_wait(pool)) {
        kt__wake(pool, 1, pool->workers, 1);
    }
    if (atomic_load_explicit(&pool->broken, memory_order_relaxed)) {
        kt_task_cancel(task);
    }
    if (!move(task, KT_TASK_QUEUED, KT_TASK_RUNNING)) {
        kt__count_unfinished(pool, -1);
        if (task->completions) {
            kt__task_complete(worker, task, false);
        } else {
            move(task, KT_TASK_CANCELLED, KT_TASK_GONE);
        }
        return true;
    }
    int64_t begin = kt__trace_begin(pool);
    int64_t tag = (int64_t)task->tag;
    kt_call_run(&task->call);
    if (generation == pool->generation) { /* in a forked child the parent's tasks are not its own */
        kt__count_unfinished(pool, -1);
        kt__count(&worker->counters.tasks);
        kt__trace_end(pool, begin, KT_EVENT_TASK, worker->number, tag, tag);
        finish(worker, task);
    }
    return true;
}
