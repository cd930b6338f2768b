/* Makes a process by libc's fork, with clone flags that fork does not support.
 *
 * A program that continues in the child, such as an interpreter, needs more than a copy of memory. libc must
 * hold the locks of malloc, stdio and the loader while the copy is made: otherwise a thread that the child
 * does not have may hold one of them there for ever. The handlers of pthread_atfork must run, too. Only
 * fork(3) does all this, and it passes flags of its own to clone. So fork makes an intermediate child, which
 * has one thread and in which every lock is free. That child calls clone again with CLONE_PARENT and the
 * requested flags, reports the new pid, and ends. The new process is then a child of this one. It differs
 * from a child of fork in three things, which it sets itself: the tid in libc's descriptor, the tid in the
 * engine's record, and the robust list, which a child of clone does not have.
 *
 * This has limits. The sharing flags of clone would share with the intermediate child, so they are refused.
 * With CLONE_PARENT the kernel gives the new process the exit signal of the intermediate child, SIGCHLD. The
 * intermediate child, which is reaped here, causes a second SIGCHLD. */
#define _GNU_SOURCE
#include "process/process.h"

#include "base/fork.h"
#include "thread/thread.h"

#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

static const uint64_t allowed_flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                      CLONE_NEWPID | CLONE_NEWNET | KT_CLONE_NEWCGROUP | KT_CLONE_NEWTIME |
                                      KT_CLONE_CLEAR_SIGHAND | KT_CLONE_INTO_CGROUP;

enum { ROBUST_LIST_HEAD_SIZE = 24 };

/* Does in the new process what libc's fork does after its own clone. */
static void finish_fork(struct kt__child *child)
{
    char *self = (char *)pthread_self();
    (void)kt__syscall(SYS_set_robust_list, self + kt__libc.found.robust_list_offset, ROBUST_LIST_HEAD_SIZE);
    kt__child_prepare(child);
    kt__refresh_own_tid();
}

/* Runs in the child of fork, and returns in the new process only. */
static int clone_again(struct kt__child *child)
{
    const kt_process_spec *spec = &child->spec;
    child->reset_signals = spec->flags & KT_CLONE_CLEAR_SIGHAND;
    struct kt__clone_process clone = {.flags = (spec->flags & ~KT_CLONE_CLEAR_SIGHAND) | CLONE_PARENT,
                                      .cgroup = spec->cgroup,
                                      .set_tid = spec->set_tid,
                                      .set_tid_count = spec->set_tid_count};
    close(child->parent_end);
    child->parent_end = -1;
    kt__set_signals(~(kt__signals)0, &child->mask);
    int pid = kt__clone_process(&clone);
    if (pid == 0) {
        finish_fork(child);
        return KT_IN_CHILD;
    }
    kt__report(child, pid < 0 ? KT_AT_CLONE : KT_REPORT_CLONED, pid < 0 ? -pid : pid);
    kt__exit(0);
}

/* Receives the pid of the new process from the intermediate child. */
static int receive_pid(int channel, kt_failure *failure)
{
    long n;
    while ((n = kt__syscall(SYS_recvfrom, channel, failure, sizeof *failure, 0, NULL, NULL)) == -EINTR) {
    }
    if (n != sizeof *failure) {
        return kt__fail(failure, KT_AT_CLONE, -ECHILD);
    }
    return failure->place == KT_REPORT_CLONED ? failure->error : -failure->error;
}

int kt_process_fork(kt_process *process, const kt_process_spec *spec, kt_failure *failure)
{
    kt__process_init(process);
    if (spec->flags & ~allowed_flags || spec->exit_signal != SIGCHLD || spec->call) {
        return kt__fail(failure, KT_AT_CLONE, -EINVAL);
    }
    int rc = kt__ready();
    if (rc < 0) {
        return kt__fail(failure, KT_AT_CLONE, rc);
    }
    int ends[2];
    rc = kt__channel_open(ends, spec);
    if (rc < 0) {
        return kt__fail(failure, KT_AT_CHANNEL, rc);
    }
    struct kt__child child = {
        .spec = *spec, .channel = ends[1], .parent_end = ends[0], .tid = kt__own_tid_word()};
    pid_t intermediate = fork();
    if (intermediate == 0) {
        return clone_again(&child);
    }
    rc = intermediate < 0 ? -errno : 0;
    close(ends[1]);
    if (rc < 0) {
        close(ends[0]);
        return kt__fail(failure, KT_AT_FORK, rc);
    }
    rc = receive_pid(ends[0], failure);
    while (kt__syscall(SYS_wait4, intermediate, NULL, __WALL, NULL) == -EINTR) {
    }
    if (rc < 0) {
        close(ends[0]);
        return rc;
    }
    process->channel = ends[0];
    process->pid = rc;
    process->pidfd = kt__pidfd_of(rc);
    rc = kt__write_maps(process->pid, spec, failure);
    if (rc < 0) {
        (void)kt_process_signal(process, SIGKILL);
        kt__reap(process);
    }
    return rc;
}
