/* Completion queues, which collect the tasks that have ended for a reader that waits on an eventfd. */
#define _GNU_SOURCE
#include "pool/task.h"

#include "base/fd.h"
#include "base/syscall.h"
#include "libc/libc.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct kt_completions {
    KT_LINE _Atomic(struct kt_task *) last; /* the last task of a list that is linked backwards */
    _Atomic(uint32_t) notified;             /* the descriptor is readable, or about to be */
    _Atomic(uint32_t) users; /* the owner, and the workers that add a task or have still to notify */
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
    /* Release and acquire: the last user sees what the others did, and then frees. */
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

/* Notifies for the tasks that were added without, once the worker has nothing else to do. */
void kt__notify_completions(struct kt__worker *worker)
{
    struct kt_completions *completions = worker->unnotified;
    worker->unnotified = NULL;
    if (completions && atomic_load(&completions->last)) {
        notify(completions);
    }
    kt_completions_free(completions);
}

/* Adds a task to its completion queue. Notifies the reader now, or leaves that to kt__notify_completions. */
void kt__task_complete(struct kt__worker *worker, struct kt_task *task, bool notify_now)
{
    struct kt_completions *completions = task->completions;
    /* The reader may free the queue as soon as it has the task, so the worker is a user of the queue, too. */
    atomic_fetch_add_explicit(&completions->users, 1, memory_order_relaxed);
    push(completions, task);
    if (notify_now) {
        notify(completions);
    } else if (worker->unnotified != completions) {
        kt__notify_completions(worker);
        worker->unnotified = completions;
        return; /* the worker stays a user until it notifies */
    }
    kt_completions_free(completions);
}

void kt_completions_wait(kt_completions *completions)
{
    struct pollfd poll = {.fd = completions->fd, .events = POLLIN};
    kt__signals blocked = kt__parked_signals;
    (void)kt__syscall(SYS_ppoll, &poll, 1, NULL, &blocked, sizeof blocked);
}

void kt_completions_take(kt_completions *completions, kt_task **first)
{
    uint64_t count;
    /* The descriptor is read before the list is taken. A task that is added in between notifies again, at
     * worst needlessly. The descriptor is read whatever `notified` is: a notifier sets `notified` before it
     * writes, so the descriptor may be readable after `notified` was cleared, and it must not stay so. */
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
