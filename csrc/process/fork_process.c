/* Makes a process by libc's fork, with clone flags that fork does not support.
 *
 * A program that continues in the child, such as an interpreter, needs more than a copy of memory. libc must
 * hold the locks of malloc, stdio and the loader while the copy is made: otherwise a thread that the child
 * does not have may hold one of them there for ever. The handlers of pthread_atfork must run, too. Only
 * fork(3) does all this, and it passes flags of its own to clone. So fork makes an intermediate process
 * (intermediate.c), which has one thread and in which every lock is free. The new process differs from a
 * child of fork in three things, which it sets itself: the tid in libc's descriptor, the tid in the engine's
 * record, and the robust list, which a child of clone does not have. */
#define _GNU_SOURCE
#include "process/process.h"

#include "base/fd.h"
#include "base/fork.h"
#include "thread/thread.h"

#include <signal.h>

enum { ROBUST_LIST_HEAD_SIZE = 24 };

/* Does in the new process what libc's fork does after its own clone. */
static void finish_fork(struct kt__child *child)
{
    char *self = (char *)pthread_self();
    (void)kt__syscall(SYS_set_robust_list, self + kt__libc.found.robust_list_offset, ROBUST_LIST_HEAD_SIZE);
    kt__child_prepare(child);
    kt__refresh_own_tid();
}

int kt_process_fork(kt_process *process, const kt_process_spec *spec, kt_failure *failure)
{
    kt__process_init(process);
    if (!kt__valid_sibling(spec) || spec->exit_signal != SIGCHLD || spec->call) {
        return kt__fail(failure, KT_AT_CLONE, -EINVAL);
    }
    int rc = kt__ready();
    if (rc < 0) {
        return kt__fail(failure, KT_AT_CLONE, rc);
    }
    struct kt__child child = {.spec = *spec, .tid = kt__own_tid_word()};
    int ends[2];
    rc = kt__starter_open(&child.starter, spec);
    rc = rc < 0 ? rc : kt__channel_open(ends, spec);
    if (rc < 0) {
        return kt__fail(failure, KT_AT_CHANNEL, kt__closing(child.starter, rc));
    }
    child.channel = ends[1];
    child.parent_end = ends[0];
    pid_t intermediate = fork();
    if (intermediate == 0) {
        kt__set_signals(~(kt__signals)0, &child.mask);
        kt__become_sibling(&child);
        finish_fork(&child);
        return KT_IN_CHILD;
    }
    rc = intermediate < 0 ? -errno : 0;
    close(ends[1]);
    kt__closing(child.starter, 0);
    process->channel = ends[0];
    if (rc < 0) {
        kt__process_release(process);
        return kt__fail(failure, KT_AT_FORK, rc);
    }
    rc = kt__receive_sibling(process, intermediate, failure);
    return rc < 0 ? rc : kt__process_made(process, rc, spec, failure);
}
