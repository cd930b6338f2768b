/* The queue of tasks that wait for a worker. */
#ifndef KT_QUEUE_H
#define KT_QUEUE_H

#include "pool/pool.h"

/* False for want of memory. */
bool kt__queue_new(struct kt_pool *pool, uint32_t size);

/* Empties it, in a forked child. */
void kt__queue_reset(struct kt_pool *pool);

/* False when there is no room. */
bool kt__queue_put(struct kt_pool *pool, struct kt_task *task);

/* Waits for room. -EAGAIN at the deadline, -EINTR. */
int kt__queue_put_or_wait(struct kt_pool *pool, struct kt_task *task, kt__deadline deadline);

/* The next task, or NULL. */
struct kt_task *kt__queue_take(struct kt_pool *pool);

/* After a task was taken: wakes a thread that waits for room. */
void kt__queue_announce_room(struct kt_pool *pool);

/* Whether there is a task to take. */
bool kt__tasks_wait(const struct kt_pool *pool);

/* Whether there is any, including one that is being put: for a caller after which no worker looks. */
bool kt__tasks_are_queued(const struct kt_pool *pool);

#endif
