/* Completion queues: where the tasks go that have ended, for a reader who waits at an eventfd. */
#define _GNU_SOURCE
#include "pool/task.h"

#include "base/fd.h"
#include "base/syscall.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct kt_completions {
    KT_LINE _Atomic(struct kt_task *) last; /* of a list, linked backwards */
    _Atomic(uint32_t) notified;             /* the descriptor is, or is about to be, readable */
    _Atomic(uint32_t) users;                /* the owner, and workers that put into it or owe it a notify */
    int fd;
};

int kt_completions_new(kt_completions **out)
{
    struct kt_completions *completions = aligned_alloc(KT_CACHE_LINE, sizeof *completions);
    if (!completions) {
        return -ENOMEM;
    }
    atomic_init(&completions->last, NULL);
    atomic_init(&completions->notified, 0);
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

static void notify(struct kt_completions *completions)
{
    uint64_t one = 1;
    if (atomic_exchange(&completions->notified, 1) == 0) {
        while (write(completions->fd, &one, sizeof one) < 0 && errno == EINTR) {
        }
    }
}

static void push(struct kt_completions *completions, struct kt_task *task)
{
    struct kt_task *last = atomic_load_explicit(&completions->last, memory_order_relaxed);
    do {
        task->link = last;
    } while (!atomic_compare_exchange_weak(&completions->last, &last, task));
}

/* A bell that did not notify for each task rings when there is nothing else to do. */
void kt__notify_completions(struct kt__worker *worker)
{
    struct kt_completions *completions = worker->unnotified;
    worker->unnotified = NULL;
    if (completions && atomic_load(&completions->last)) {
        notify(completions);
    }
    kt_completions_free(completions);
}

/* Puts a task where it is collected, which rings at once or later. */
void kt__task_complete(struct kt__worker *worker, struct kt_task *task, bool notify_now)
{
    struct kt_completions *completions = task->completions;
    /* Who collects the task may free them as soon as it is there: the worker is a user of its own. */
    atomic_fetch_add_explicit(&completions->users, 1, memory_order_relaxed);
    push(completions, task);
    if (notify_now) {
        notify(completions);
    } else if (worker->unnotified != completions) {
        kt__notify_completions(worker);
        worker->unnotified = completions;
        return; /* as a user until it rings */
    }
    kt_completions_free(completions);
}

void kt_completions_take(kt_completions *completions, kt_task **first)
{
    uint64_t count;
    /* First the bell, then the list: what comes between rings again, for nothing at worst. The descriptor is
     * read though nothing may have notified: who says so writes afterwards, and it must not stay readable. */
    while (read(completions->fd, &count, sizeof count) < 0 && errno == EINTR) {
    }
    kt__publish(&completions->notified, 0);
    struct kt_task *task = atomic_exchange(&completions->last, NULL), *completed = NULL;
    while (task) {
        struct kt_task *before = task->link;
        task->link = completed;
        completed = task;
        task = before;
    }
    while (*first) {
        first = &(*first)->link;
    }
    *first = completed;
}
