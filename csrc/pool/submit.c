/* kt_pool_submit: queues tasks, and makes sure that workers run them. */
#define _GNU_SOURCE
#include "pool/queue.h"
#include "pool/task.h"

#include <errno.h>

int64_t kt_pool_submit(kt_pool *pool, kt_task *const *tasks, size_t count, int64_t timeout_ns)
{
    kt__deadline deadline = timeout_ns == 0 ? 0 : kt__deadline_after(timeout_ns);
    int rc = atomic_load_explicit(&pool->broken, memory_order_relaxed) ? -ENOTRECOVERABLE : 0;
    if (rc == 0 && atomic_load_explicit(&pool->started, memory_order_relaxed) < pool->workers) {
        rc = kt__pool_start_workers(pool, pool->workers);
    }
    size_t queued = 0;
    kt__note_client(pool, false);
    while (rc == 0 && queued < count) {
        tasks[queued]->met = queued < atomic_load_explicit(&pool->spinning, memory_order_relaxed);
        atomic_store_explicit(kt__task_state(tasks[queued]), KT_TASK_QUEUED, memory_order_relaxed);
        kt__count_unfinished(pool, 1);
        rc = 0;
        if (!kt__queue_put(pool, tasks[queued])) {
            rc = deadline == 0 ? -EAGAIN : kt__queue_wait_and_put(pool, tasks[queued], deadline);
        }
        if (rc == 0) {
            queued++;
            /* A spinning worker finds the task by itself. A woken worker wakes another while there is
             * work. */
            if (queued > atomic_load(&pool->spinning)) {
                kt__wake(pool, 1, pool->workers, 1);
            }
        } else {
            kt__count_unfinished(pool, -1);
            atomic_store_explicit(kt__task_state(tasks[queued]), KT_TASK_NEW, memory_order_relaxed);
        }
    }
    /* If the last threads left before they could see these tasks, the thread that ended them sees the tasks
     * (resume in pool.c). */
    if (queued > 0 && atomic_load(&pool->started) < pool->workers) {
        kt__pool_start_workers(pool, pool->workers);
    }
    return queued > 0 ? (int64_t)queued : rc;
}
