/* The queue of tasks that wait for a worker: bounded, or with an overflow list. */
#define _GNU_SOURCE
#include "pool/queue.h"

#include "base/mutex.h"

#include <errno.h>
#include <stdlib.h>

bool kt__queue_new(struct kt_pool *pool, uint32_t size)
{
    uint64_t cells = 2;
    while (cells < size) {
        cells *= 2;
    }
    pool->cells = calloc(cells, sizeof *pool->cells);
    pool->cell_mask = cells - 1;
    if (pool->cells) {
        kt__queue_reset(pool);
    }
    return pool->cells != NULL;
}

void kt__queue_reset(struct kt_pool *pool)
{
    for (uint64_t i = 0; i <= pool->cell_mask; i++) {
        atomic_store_explicit(&pool->cells[i].turn, i, memory_order_relaxed);
    }
    atomic_store_explicit(&pool->head, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->tail, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->spilling, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->spilled, 0, memory_order_relaxed);
    pool->first_spilled = NULL;
    pool->spill = &pool->first_spilled;
    atomic_store_explicit(&pool->unfinished, 0, memory_order_relaxed);
}

static bool put_in_cell(struct kt_pool *pool, struct kt_task *task)
{
    uint64_t ticket = atomic_load_explicit(&pool->tail, memory_order_relaxed);
    for (;;) {
        struct kt__cell *cell = &pool->cells[ticket & pool->cell_mask];
        uint64_t turn = atomic_load(&cell->turn); /* sequentially consistent, as a consumer's store is:
                                                     kt__queue_wait_and_put needs it */
        if (turn == ticket) {
            if (atomic_compare_exchange_weak(&pool->tail, &ticket, ticket + 1)) {
                cell->task = task;
                kt__publish(&cell->turn, ticket + 1);
                return true;
            }
        } else if ((int64_t)(turn - ticket) < 0) {
            return false;
        } else {
            ticket = atomic_load_explicit(&pool->tail, memory_order_relaxed);
        }
    }
}

static struct kt_task *take_from_cell(struct kt_pool *pool)
{
    uint64_t ticket = atomic_load_explicit(&pool->head, memory_order_relaxed);
    for (;;) {
        struct kt__cell *cell = &pool->cells[ticket & pool->cell_mask];
        uint64_t turn = atomic_load(&cell->turn);
        if (turn == ticket + 1) {
            if (atomic_compare_exchange_weak(&pool->head, &ticket, ticket + 1)) {
                struct kt_task *task = cell->task;
                kt__publish(&cell->turn, ticket + pool->cell_mask + 1);
                return task;
            }
        } else if ((int64_t)(turn - (ticket + 1)) < 0) {
            return NULL;
        } else {
            ticket = atomic_load_explicit(&pool->head, memory_order_relaxed);
        }
    }
}

/* May return false when another worker has just taken a task: that worker checks, too, after it has. */
bool kt__tasks_wait(const struct kt_pool *pool)
{
    uint64_t ticket = atomic_load(&pool->head);
    return atomic_load(&pool->cells[ticket & pool->cell_mask].turn) == ticket + 1 ||
           atomic_load(&pool->spilled) > 0;
}

bool kt__tasks_are_queued(const struct kt_pool *pool)
{
    uint64_t head = atomic_load(&pool->head);
    return head != atomic_load(&pool->tail) || atomic_load(&pool->spilled) > 0;
}

/* While the overflow list has tasks, new tasks go behind them. A task of the list counts as spilled until it
 * is in the queue. So tasks that one thread submits are taken in their order. */
bool kt__queue_put(struct kt_pool *pool, struct kt_task *task)
{
    if (atomic_load(&pool->spilled) == 0 && put_in_cell(pool, task)) {
        return true;
    }
    if (!(pool->options & KT_POOL_UNBOUNDED)) {
        return false;
    }
    kt__mutex_lock(&pool->spilling);
    task->link = NULL;
    *pool->spill = task;
    pool->spill = &task->link;
    atomic_fetch_add(&pool->spilled, 1); /* publishes the task, as the store of a cell's turn does */
    kt__mutex_unlock(&pool->spilling);
    return true;
}

/* Moves spilled tasks into the queue, as far as there is room. */
static void unspill(struct kt_pool *pool)
{
    kt__mutex_lock(&pool->spilling);
    struct kt_task *task, *next;
    while ((task = pool->first_spilled) != NULL) {
        next = task->link; /* read before another worker takes the task */
        if (!put_in_cell(pool, task)) {
            break;
        }
        pool->first_spilled = next;
        if (!next) {
            pool->spill = &pool->first_spilled;
        }
        atomic_fetch_sub(&pool->spilled, 1);
    }
    kt__mutex_unlock(&pool->spilling);
}

struct kt_task *kt__queue_take(struct kt_pool *pool)
{
    struct kt_task *task = take_from_cell(pool);
    if (atomic_load(&pool->spilled) > 0) {
        unspill(pool);
        task = task ? task : take_from_cell(pool);
    }
    return task;
}

void kt__queue_notify_room(struct kt_pool *pool)
{
    /* Sequentially consistent, as kt__queue_wait_and_put's count of itself and its check are: either this
     * thread sees the waiter, or the waiter sees the room. */
    if (atomic_load(&pool->room_waiters)) {
        atomic_fetch_add(&pool->room, 1);
        kt__futex_wake(&pool->room, 1, KT_FUTEX_PRIVATE);
    }
}

int kt__queue_wait_and_put(struct kt_pool *pool, struct kt_task *task, kt__deadline deadline)
{
    int rc = 0;
    atomic_fetch_add(&pool->room_waiters, 1);
    for (;;) {
        uint32_t seen = atomic_load(&pool->room);
        if (put_in_cell(pool, task)) {
            rc = 0;
            break;
        }
        if (rc < 0) {
            break;
        }
        rc = kt__futex_wait(&pool->room, seen, KT_FUTEX_PRIVATE, deadline);
    }
    atomic_fetch_sub(&pool->room_waiters, 1);
    return rc == -ETIMEDOUT ? -EAGAIN : rc;
}
