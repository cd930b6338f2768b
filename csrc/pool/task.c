/* A task: its states, waiting for its end, and its run on a worker. */
#define _GNU_SOURCE
#include "pool/task.h"

#include "base/spin.h"
#include "pool/queue.h"

#include <errno.h>
#include <limits.h>

/* Changes the state and keeps the other bits of the word. Returns false when the state is not `from`. */
static bool change_state(struct kt_task *task, uint32_t from, uint32_t to)
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
    if (!change_state(task, KT_TASK_QUEUED, KT_TASK_CANCELLED)) {
        return -EBUSY;
    }
    kt__futex_wake(kt__task_state(task), INT_MAX, KT_FUTEX_PRIVATE);
    return 0;
}

static bool is_over(uint32_t state)
{
    return (state & KT_TASK_STATE) >= KT_TASK_DONE;
}

int kt_task_watch(kt_task *task)
{
    uint32_t state = atomic_load(kt__task_state(task));
    do {
        if (is_over(state)) {
            return -EALREADY;
        }
    } while (!atomic_compare_exchange_weak(kt__task_state(task), &state, state | KT_TASK_WATCHED));
    return 0;
}

/* Spins for at most `spin_ns`. Returns whether the task is over. */
static bool spin_for(kt__word *word, int64_t spin_ns)
{
    struct kt__spin spin = {.budget_ns = spin_ns};
    bool ended;
    while (!(ended = is_over(atomic_load(word))) && kt__spin(&spin)) {
    }
    return ended;
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
        if (is_over(state)) {
            return 0;
        }
    } while (!atomic_compare_exchange_weak(word, &state, state + KT_TASK_ONE_WAITER));
    int rc = 0;
    while (!is_over(state = atomic_load(word)) && rc == 0) {
        rc = kt__futex_wait(word, state, KT_FUTEX_PRIVATE, deadline);
    }
    /* Stops being counted as a waiter. When the task is over the word is no longer the engine's and is not
     * changed. */
    while (!is_over(state)) {
        if (atomic_compare_exchange_weak(word, &state, state - KT_TASK_ONE_WAITER)) {
            return rc;
        }
    }
    return 0;
}

static void finish(struct kt__worker *worker, struct kt_task *task)
{
    /* Read first: without a queue the owner may free the task as soon as it is done. */
    bool has_queue = task->completions;
    uint32_t state = atomic_exchange(kt__task_state(task), KT_TASK_DONE);
    if (state >= KT_TASK_ONE_WAITER) {
        kt__futex_wake(kt__task_state(task), INT_MAX, KT_FUTEX_PRIVATE);
    }
    if (has_queue) {
        kt__task_complete(worker, task, state & KT_TASK_WATCHED);
    }
}

/* Returns a cancelled task to its owner; without a worker, the reader of its completion queue is notified at
 * once. */
static void give_back(struct kt__worker *worker, struct kt_task *task)
{
    if (task->completions) {
        kt__task_complete(worker, task, !worker);
    } else {
        change_state(task, KT_TASK_CANCELLED, KT_TASK_GONE);
    }
}

void kt__tasks_discard(struct kt_pool *pool)
{
    struct kt_task *task;
    while ((task = kt__queue_take(pool)) != NULL) {
        kt_task_cancel(task);
        give_back(NULL, task);
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
    kt__queue_notify_room(pool);
    if (kt__tasks_wait(pool)) {
        kt__wake(pool, 1, pool->workers, 1);
    }
    if (atomic_load_explicit(&pool->broken, memory_order_relaxed)) {
        kt_task_cancel(task);
    }
    if (!change_state(task, KT_TASK_QUEUED, KT_TASK_RUNNING)) {
        kt__count_unfinished(pool, -1);
        give_back(worker, task);
        return true;
    }
    int64_t begin = kt__trace_begin(pool);
    int64_t tag = (int64_t)task->tag;
    kt_call_run(&task->call);
    if (generation == pool->generation) { /* not in a forked child, which does not own the parent's tasks */
        kt__count_unfinished(pool, -1);
        kt__count(&worker->counters.tasks);
        kt__trace_end(pool, begin, KT_EVENT_TASK, worker->number, tag, tag);
        finish(worker, task);
    }
    return true;
}
