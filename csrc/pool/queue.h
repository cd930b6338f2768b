/* The queue of tasks that wait for a worker. */
#ifndef KT_QUEUE_H
#define KT_QUEUE_H

#include "pool/pool.h"

/* Returns false when memory is short. */
bool kt__queue_new(struct kt_pool *pool, uint32_t size);

/* Empties the queue, in a forked child. */
void kt__queue_reset(struct kt_pool *pool);

/* Adds a task. Returns false when there is no room. */
bool kt__queue_put(struct kt_pool *pool, struct kt_task *task);

/* Waits for room and adds a task, after kt__queue_put has found none. Returns -EAGAIN at the deadline, or
 * -EINTR. */
int kt__queue_wait_and_put(struct kt_pool *pool, struct kt_task *task, kt__deadline deadline);

/* Takes the next task, or returns NULL. */
struct kt_task *kt__queue_take(struct kt_pool *pool);

/* Wakes a thread that waits for room. Called after a task was taken. */
void kt__queue_notify_room(struct kt_pool *pool);

/* Whether there is a task that can be taken. */
bool kt__tasks_wait(const struct kt_pool *pool);

/* Whether there is any task, including one that is being added: for a caller after which no worker checks. */
bool kt__tasks_are_queued(const struct kt_pool *pool);

#endif
