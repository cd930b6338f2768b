/* Tasks: a bounded queue, their states, and the place where they come back. */
#define _GNU_SOURCE
#include "pool/pool.h"

#include "base/fd.h"
#include "base/mutex.h"
#include "base/spin.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* A task's state has more above its lowest bits: whether its end is to be told by the descriptor of its
 * completions, and the number of threads that wait for it. */
enum { STATE_MASK = 0xff, WATCHED = 0x100, ONE_WAITER = 0x200 };

static kt__word *state_of(const struct kt_task *task)
{
    return (kt__word *)(uintptr_t)&task->state;
}

/* ---- The queue ------------------------------------------------------------------------------------- */

bool kt__queue_new(struct kt_pool *pool, uint32_t size)
{
    uint64_t cells = 2;
    while (cells < size) {
        cells *= 2;
    }
    pool->cells = calloc(cells, sizeof *pool->cells);
    pool->cell_mask = cells - 1;
    if (pool->cells) {
        kt__queue_forget(pool);
    }
    return pool->cells != NULL;
}

void kt__queue_forget(struct kt_pool *pool)
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

static bool put(struct kt_pool *pool, struct kt_task *task)
{
    uint64_t ticket = atomic_load_explicit(&pool->tail, memory_order_relaxed);
    for (;;) {
        struct kt__cell *cell = &pool->cells[ticket & pool->cell_mask];
        uint64_t turn = atomic_load(&cell->turn); /* consistent with a taker's, for the wait for room */
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

static struct kt_task *take(struct kt_pool *pool)
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

/* May say no where another worker has just taken one: that one looks, too, after it has. */
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

/* ---- Beyond the queue --------------------------------------------------------------------------------- */

/* While there are spilled tasks new ones go behind them, and a spilled one counts until it is in the queue:
 * so who submits two tasks finds them taken in their order. */
static bool put_or_spill(struct kt_pool *pool, struct kt_task *task)
{
    if (atomic_load(&pool->spilled) == 0 && put(pool, task)) {
        return true;
    }
    if (!(pool->options & KT_POOL_UNBOUNDED)) {
        return false;
    }
    kt__mutex_lock(&pool->spilling);
    task->link = NULL;
    *pool->spill = task;
    pool->spill = &task->link;
    atomic_fetch_add(&pool->spilled, 1); /* publishes, as a cell's turn does */
    kt__mutex_unlock(&pool->spilling);
    return true;
}

/* Moves spilled tasks into the queue, as far as there is room. */
static void unspill(struct kt_pool *pool)
{
    kt__mutex_lock(&pool->spilling);
    struct kt_task *task, *next;
    while ((task = pool->first_spilled) != NULL) {
        next = task->link; /* before somebody takes it */
        if (!put(pool, task)) {
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

static struct kt_task *take_next(struct kt_pool *pool)
{
    struct kt_task *task = take(pool);
    if (atomic_load(&pool->spilled) > 0) {
        unspill(pool);
        task = task ? task : take(pool);
    }
    return task;
}

/* ---- Room ------------------------------------------------------------------------------------------ */

static void announce_room(struct kt_pool *pool)
{
    /* Sequentially consistent, as is put_or_wait's count and look: one of the two sees the other. */
    if (atomic_load(&pool->room_waiters)) {
        atomic_fetch_add(&pool->room, 1);
        kt__futex_wake(&pool->room, 1, KT_FUTEX_PRIVATE);
    }
}

static int put_or_wait(struct kt_pool *pool, struct kt_task *task, kt__deadline deadline)
{
    int rc = 0;
    if (put_or_spill(pool, task)) {
        return 0;
    }
    atomic_fetch_add(&pool->room_waiters, 1);
    for (;;) {
        uint32_t seen = atomic_load(&pool->room);
        if (put(pool, task)) {
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

/* ---- Coming back ----------------------------------------------------------------------------------- */

struct kt_completions {
    KT_LINE _Atomic(struct kt_task *) last; /* of a list, linked backwards */
    _Atomic(uint32_t) rung;                 /* the descriptor is, or is about to be, readable */
    _Atomic(uint32_t) users;                /* the owner, and workers that put into it or owe it a ring */
    int fd;
};

int kt_completions_new(kt_completions **out)
{
    struct kt_completions *completions = aligned_alloc(KT_CACHE_LINE, sizeof *completions);
    if (!completions) {
        return -ENOMEM;
    }
    atomic_init(&completions->last, NULL);
    atomic_init(&completions->rung, 0);
    atomic_init(&completions->users, 1);
    int rc = (int)kt__negative_errno(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    completions->fd = rc = kt__lift_above(rc, KT_HIGHEST_STANDARD);
    if (rc < 0) {
        free(completions);
        return rc;
    }
    *out = completions;
    return 0;
}

int kt_completions_fd(const kt_completions *completions)
{
    return completions->fd;
}

void kt_completions_free(kt_completions *completions)
{
    /* Release and acquire: the last user sees that the others are done with it. */
    if (completions && atomic_fetch_sub_explicit(&completions->users, 1, memory_order_acq_rel) == 1) {
        close(completions->fd);
        free(completions);
    }
}

static void ring(struct kt_completions *completions)
{
    uint64_t one = 1;
    if (atomic_exchange(&completions->rung, 1) == 0) {
        while (write(completions->fd, &one, sizeof one) < 0 && errno == EINTR) {
        }
    }
}

static void send_back(struct kt_completions *completions, struct kt_task *task)
{
    struct kt_task *last = atomic_load_explicit(&completions->last, memory_order_relaxed);
    do {
        task->link = last;
    } while (!atomic_compare_exchange_weak(&completions->last, &last, task));
}

/* A bell that did not ring for each task rings when there is nothing else to do. */
void kt__ring_unrung(struct kt__worker *worker)
{
    struct kt_completions *completions = worker->unrung;
    worker->unrung = NULL;
    if (completions && atomic_load(&completions->last)) {
        ring(completions);
    }
    kt_completions_free(completions);
}

/* Puts a task where it is collected, which rings at once or later. */
static void come_back(struct kt__worker *worker, struct kt_task *task, bool ring_now)
{
    struct kt_completions *completions = task->completions;
    /* Who collects the task may free them as soon as it is there: the worker is a user of its own. */
    atomic_fetch_add_explicit(&completions->users, 1, memory_order_relaxed);
    send_back(completions, task);
    if (ring_now) {
        ring(completions);
    } else if (worker->unrung != completions) {
        kt__ring_unrung(worker);
        worker->unrung = completions;
        return; /* as a user until it rings */
    }
    kt_completions_free(completions);
}

void kt_completions_take(kt_completions *completions, kt_task **first)
{
    uint64_t count;
    /* First the bell, then the list: what comes between rings again, for nothing at worst. The descriptor is
     * read though nothing may have rung: who says so writes afterwards, and it must not stay readable. */
    while (read(completions->fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
    kt__publish(&completions->rung, 0);
    struct kt_task *task = atomic_exchange(&completions->last, NULL), *came = NULL;
    while (task) {
        struct kt_task *before = task->link;
        task->link = came;
        came = task;
        task = before;
    }
    while (*first) {
        first = &(*first)->link;
    }
    *first = came;
}

/* ---- A task ---------------------------------------------------------------------------------------- */

/* From one state to another, whoever waits. False when it is in neither. */
static bool move(struct kt_task *task, uint32_t from, uint32_t to)
{
    uint32_t state = atomic_load(state_of(task));
    while ((state & STATE_MASK) == from) {
        if (atomic_compare_exchange_weak(state_of(task), &state, (state & ~(uint32_t)STATE_MASK) | to)) {
            return true;
        }
    }
    return false;
}

int kt_task_state_of(const kt_task *task)
{
    return (int)(atomic_load(state_of(task)) & STATE_MASK);
}

int kt_task_cancel(kt_task *task)
{
    if (!move(task, KT_TASK_QUEUED, KT_TASK_CANCELLED)) {
        return -EBUSY;
    }
    kt__futex_wake(state_of(task), INT_MAX, KT_FUTEX_PRIVATE);
    return 0;
}

static bool over(uint32_t state)
{
    return (state & STATE_MASK) >= KT_TASK_DONE;
}

int kt_task_watch(kt_task *task)
{
    uint32_t state = atomic_load(state_of(task));
    do {
        if (over(state)) {
            return -EALREADY;
        }
    } while (!atomic_compare_exchange_weak(state_of(task), &state, state | WATCHED));
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
    kt__word *word = state_of(task);
    kt__deadline deadline = kt__deadline_after(timeout_ns);
    if (task->met && timeout_ns != 0 && spin_for(word, spin_ns)) {
        return 0;
    }
    uint32_t state = atomic_load(word);
    do {
        if (over(state)) {
            return 0;
        }
    } while (!atomic_compare_exchange_weak(word, &state, state + ONE_WAITER));
    int rc = 0;
    while (!over(state = atomic_load(word)) && rc == 0) {
        rc = kt__futex_wait(word, state, KT_FUTEX_PRIVATE, deadline);
    }
    /* No longer a waiter, unless it is over, when the word is not the engine's any more. */
    while (!over(state)) {
        if (atomic_compare_exchange_weak(word, &state, state - ONE_WAITER)) {
            return rc;
        }
    }
    return 0;
}

static void finish(struct kt__worker *worker, struct kt_task *task)
{
    bool comes_back = task->completions; /* else it is its owner's as soon as it is done */
    uint32_t state = atomic_exchange(state_of(task), KT_TASK_DONE);
    if (state >= ONE_WAITER) {
        kt__futex_wake(state_of(task), INT_MAX, KT_FUTEX_PRIVATE);
    }
    if (comes_back) {
        come_back(worker, task, state & WATCHED);
    }
}

/* Before a task is queued, and before it comes back: whoever has it back finds a thread free for the next. */
static void count_unfinished(struct kt_pool *pool, int change)
{
    if (pool->options & KT_POOL_LENT) {
        atomic_fetch_add(&pool->unfinished, (uint32_t)change);
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
    struct kt_task *task = take_next(pool);
    if (!task) {
        return false;
    }
    announce_room(pool);
    if (kt__tasks_wait(pool)) {
        kt__wake(pool, 1, pool->workers, 1);
    }
    if (atomic_load_explicit(&pool->broken, memory_order_relaxed)) {
        kt_task_cancel(task);
    }
    if (!move(task, KT_TASK_QUEUED, KT_TASK_RUNNING)) {
        count_unfinished(pool, -1);
        if (task->completions) {
            come_back(worker, task, false);
        } else {
            move(task, KT_TASK_CANCELLED, KT_TASK_GONE);
        }
        return true;
    }
    int64_t begin = kt__trace_begin(pool);
    int64_t tag = (int64_t)task->tag;
    kt_call_run(&task->call);
    if (generation == pool->generation) { /* in a forked child the parent's tasks are not its own */
        count_unfinished(pool, -1);
        kt__count(&worker->counters.tasks);
        kt__trace_end(pool, begin, KT_EVENT_TASK, worker->number, tag, tag);
        finish(worker, task);
    }
    return true;
}

int64_t kt_pool_submit(kt_pool *pool, kt_task *const *tasks, size_t count, int64_t timeout_ns)
{
    kt__deadline deadline = timeout_ns == 0 ? 0 : kt__deadline_after(timeout_ns);
    int rc = atomic_load_explicit(&pool->broken, memory_order_relaxed) ? -ENOTRECOVERABLE : 0;
    if (rc == 0 && atomic_load_explicit(&pool->staff, memory_order_relaxed) < pool->workers) {
        rc = kt__pool_staff(pool, pool->workers);
    }
    size_t queued = 0;
    kt__note_client(pool, false);
    while (rc == 0 && queued < count) {
        tasks[queued]->met = queued < atomic_load_explicit(&pool->spinning, memory_order_relaxed);
        atomic_store_explicit(state_of(tasks[queued]), KT_TASK_QUEUED, memory_order_relaxed);
        count_unfinished(pool, 1);
        rc = deadline == 0 ? (put_or_spill(pool, tasks[queued]) ? 0 : -EAGAIN)
                           : put_or_wait(pool, tasks[queued], deadline);
        if (rc == 0) {
            queued++;
            /* Who spins comes by itself; who is woken wakes another while there is work. */
            if (queued > atomic_load(&pool->spinning)) {
                kt__wake(pool, 1, pool->workers, 1);
            }
        } else {
            count_unfinished(pool, -1);
            atomic_store_explicit(state_of(tasks[queued]), KT_TASK_NEW, memory_order_relaxed);
        }
    }
    /* If the last threads left before they could see these tasks, whoever told them to go sees them. */
    if (queued > 0 && atomic_load(&pool->staff) < pool->workers) {
        kt__pool_staff(pool, pool->workers);
    }
    return queued > 0 ? (int64_t)queued : rc;
}
