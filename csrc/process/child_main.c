/* What a child does between clone and its program: it executes its steps, then calls its function. As in
 * child.c, it makes system calls only. */
#define _GNU_SOURCE
#include "process/process.h"

#include "base/fd.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

struct kernel_action { /* the kernel's struct sigaction on both architectures */
    uintptr_t handler;
    unsigned long flags;
    uintptr_t restorer;
    kt__signals mask;
};

/* Does what CLONE_CLEAR_SIGHAND does: sets handled signals to the default action; ignored signals stay
 * ignored. */
static void reset_handlers(void)
{
    for (int number = 1; number <= 64; number++) {
        struct kernel_action action;
        if (kt__syscall(SYS_rt_sigaction, number, NULL, &action, sizeof action.mask) == 0 &&
            action.handler > 1) {
            action = (struct kernel_action){0};
            (void)kt__syscall(SYS_rt_sigaction, number, &action, NULL, sizeof action.mask);
        }
    }
}

void kt__take_steps(struct kt__child *child, size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        int rc = kt__run_step(child, &child->spec.steps[i]);
        if (rc < 0) {
            kt__report(child, (int32_t)i, -rc);
            kt__exit(127);
        }
    }
}

void kt__child_prepare(struct kt__child *child)
{
    kt__child_store_tid(child);
    if (child->parent_end >= 0) {
        close(child->parent_end);
    }
    if (child->reset_signals) {
        reset_handlers();
    }
    for (int i = 0; i < KT_SLOTS; i++) {
        child->slots[i] = -1;
    }
    kt__take_steps(child, child->spec.before_clone, child->spec.step_count);
    for (int i = 0; i < KT_SLOTS; i++) {
        if (child->slots[i] >= 0) {
            close(child->slots[i]);
        }
    }
    kt__closing(child->starter, 0);
    kt__report(child, KT_REPORT_BEGUN, 0);
    if (child->channel >= 0 && !(child->spec.flags & CLONE_FILES)) {
        close(child->channel);
    }
    kt__set_signals(child->mask, NULL);
}

static void end_without_result(void *unused)
{
    (void)unused;
    kt__exit(0);
}

void kt__child_main(struct kt__child *child)
{
    kt__child_prepare(child);
    if (!child->spec.call) {
        kt__exit(0);
    }
    /* When the function calls pthread_exit, this handler ends the process first: libc's code for the end of a
     * thread would decrement the count of threads of a process to which this one does not belong. */
    pthread_cleanup_push(end_without_result, NULL);
    kt_call_run(&child->call);
    pthread_cleanup_pop(0);
    kt__exit(child->call.kind == KT_RESULT_INTEGER ? (int)(child->call.result & 0xff) : 0);
}
