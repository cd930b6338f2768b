/* A process by libc's fork, with flags that fork does not take.
 *
 * A program that goes on in the child, such as an interpreter, needs more than a copy of memory: libc must
 * have held malloc's, stdio's and the loader's locks while it was taken, or a thread that the child does not
 * have may hold them for ever in it, and the handlers of pthread_atfork must have run. Only fork(3) does all
 * this, and it calls clone with flags of its own. So fork makes a child in between, in which every lock is
 * free and which has one thread; that child calls clone once more with the flags that were asked for and
 * CLONE_PARENT, says whom it has made, and ends. Its child is then a child of ours. It differs from one that
 * fork has made in three things, which are put right: the tid in libc's descriptor and in the engine's
 * record, and the robust list, which clone does not hand on.
 *
 * What it costs: the sharing flags of clone would share with the child in between, so they cannot be had; the
 * exit signal is that of the child in between, SIGCHLD, as the kernel gives it to a child by CLONE_PARENT;
 * and a second SIGCHLD comes, from the child in between, which is reaped here. */
#define _GNU_SOURCE
#include "process/process.h"

#include "base/fork.h"
#include "thread/thread.h"

#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

static const uint64_t allowed = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |
                                CLONE_NEWNET | KT_CLONE_NEWCGROUP | KT_CLONE_NEWTIME |
                                KT_CLONE_CLEAR_SIGHAND | KT_CLONE_INTO_CGROUP;

enum { ROBUST_LIST_HEAD_SIZE = 24 };

/* In the new process: what libc's own fork does after its clone. */
static void settle(struct kt__child *child)
{
    char *self = (char *)pthread_self();
    (void)kt__syscall(SYS_set_robust_list, self + kt__libc.found.robust_list_offset, ROBUST_LIST_HEAD_SIZE);
    kt__child_prepare(child);
    kt__refresh_own_tid();
}

/* In the child of fork. Returns in the new process alone. */
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
        settle(child);
        return KT_IN_CHILD;
    }
    kt__say(child, pid < 0 ? KT_AT_CLONE : KT_SAYS_CLONED, pid < 0 ? -pid : pid);
    kt__exit(0);
}

/* The pid of the new process, as the child in between says. */
static int learn_pid(int channel, kt_failure *failure)
{
    long n;
    while ((n = kt__syscall(SYS_recvfrom, channel, failure, sizeof *failure, 0, NULL, NULL)) == -EINTR) {
    }
    if (n != sizeof *failure) {
        return kt__fail(failure, KT_AT_CLONE, -ECHILD);
    }
    return failure->place == KT_SAYS_CLONED ? failure->error : -failure->error;
}

int kt_process_fork(kt_process *process, const kt_process_spec *spec, kt_failure *failure)
{
    kt__process_begin(process);
    if (spec->flags & ~allowed || spec->exit_signal != SIGCHLD || spec->call) {
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
    pid_t between = fork();
    if (between == 0) {
        return clone_again(&child);
    }
    rc = between < 0 ? -errno : 0;
    close(ends[1]);
    if (rc < 0) {
        close(ends[0]);
        return kt__fail(failure, KT_AT_FORK, rc);
    }
    rc = learn_pid(ends[0], failure);
    while (kt__syscall(SYS_wait4, between, NULL, __WALL, NULL) == -EINTR) {
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
