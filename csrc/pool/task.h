/* A task and its states.
 *
 *     NEW --kt_pool_submit--> QUEUED --worker--> RUNNING --worker--> DONE
 *      ^                        |  |
 *      +--- no room: the -------+  | kt_task_cancel, or a worker of a broken pool
 *           submitter              v
 *                              CANCELLED --worker, kt_pool_free--> completion queue, or GONE without one
 *
 * The submitter's stores are relaxed, as the queue publishes the task. Each other change is a
 * compare-and-swap or exchange of the state's word, sequentially consistent. The engine uses a task's memory
 * from QUEUED until the task is taken out of its completion queue; without a queue, until DONE or GONE. */
#ifndef KT_TASK_H
#define KT_TASK_H

#include "pool/pool.h"

/* The bits of the state's word above the state: whether the task's end notifies the reader of the completion
 * queue at once, and the number of threads that wait for its end. */
enum { KT_TASK_STATE = 0xff, KT_TASK_WATCHED = 0x100, KT_TASK_ONE_WAITER = 0x200 };

static inline kt__word *kt__task_state(const struct kt_task *task)
{
    return (kt__word *)(uintptr_t)&task->state;
}

/* Counts the unfinished tasks, where the caller's threads serve the pool. Called before a task is queued, and
 * before it is returned to its owner: when the owner has the task back, the thread that ran it already counts
 * as free. */
static inline void kt__count_unfinished(struct kt_pool *pool, int change)
{
    if (pool->options & KT_POOL_LENT) {
        atomic_fetch_add(&pool->unfinished, (uint32_t)change);
    }
}

/* Runs the next task. Returns false when there is none. */
bool kt__task_run_next(struct kt__worker *worker);

/* Cancels the tasks in the queue of a pool that no thread serves, and returns them to their owners. */
void kt__tasks_discard(struct kt_pool *pool);

/* Adds a task to its completion queue. Notifies the queue's reader now, or leaves that to
 * kt__notify_completions. */
void kt__task_complete(struct kt__worker *worker, struct kt_task *task, bool notify_now);

/* Notifies the reader of tasks that were added without. A worker calls this before it sleeps or ends. */
void kt__notify_completions(struct kt__worker *worker);

#endif
