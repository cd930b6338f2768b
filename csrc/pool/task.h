/* A task and its states.
 *
 *     NEW --kt_pool_submit--> QUEUED --worker--> RUNNING --worker--> DONE
 *      ^                        |  |
 *      +--- no room: the -------+  | kt_task_cancel, or a worker of a broken pool
 *           submitter              v
 *                              CANCELLED --the worker that takes it--> completion queue, or GONE without one
 *
 *   All moves are compare-and-swap or exchange of the state's word, sequentially consistent. The memory of a
 * task is the engine's from QUEUED until it has come out of its completion queue; without a queue, until DONE
 * or GONE. */
#ifndef KT_TASK_H
#define KT_TASK_H

#include "pool/pool.h"

/* In the state's word above the state itself: whether the eventfd is to be written to as soon as the task
 * ends, and the number of threads that wait for its end. */
enum { KT_TASK_STATE = 0xff, KT_TASK_WATCHED = 0x100, KT_TASK_ONE_WAITER = 0x200 };

static inline kt__word *kt__task_state(const struct kt_task *task)
{
    return (kt__word *)(uintptr_t)&task->state;
}

/* Before a task is queued, and before it comes back: whoever has it back finds a thread free for the next. */
static inline void kt__count_unfinished(struct kt_pool *pool, int change)
{
    if (pool->options & KT_POOL_LENT) {
        atomic_fetch_add(&pool->unfinished, (uint32_t)change);
    }
}

/* Runs the next task. False when there is none. */
bool kt__task_run_next(struct kt__worker *worker);

/* Puts a task into its completion queue, whose eventfd is written to now or by kt__notify_completions. */
void kt__task_complete(struct kt__worker *worker, struct kt_task *task, bool notify_now);

/* Writes to the eventfd for tasks that have completed without. Before the worker sleeps, or ends. */
void kt__notify_completions(struct kt__worker *worker);

#endif
