/* A process that has forked and stays: the init of a PID namespace, or who stands between a namespace's
 * outside and its inside. It reaps what it inherits, passes signals on, and ends like its child did. */
#define _GNU_SOURCE
#include "process/process.h"
#include "base/syscall.h"

#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static void set_default(int number)
{
    const uint64_t action[4] = {0};
    (void)kt__syscall(SYS_rt_sigaction, number, action, NULL, sizeof(kt__signals));
}

/* Reaps all that have ended; true when `main` is among them, with its status in *status. */
static bool reap(int32_t main, int *status)
{
    bool ended = false;
    int found;
    long pid;
    while ((pid = kt__syscall(SYS_wait4, -1, &found, WNOHANG | __WALL, NULL)) > 0) {
        if (pid == main) {
            ended = true;
            *status = found;
        }
    }
    return ended;
}

/* Dies of the same signal, so that our parent sees what happened; the init of a PID namespace cannot, and
 * says it by an exit status as shells do. */
static _Noreturn void end_like(int status)
{
    if (WIFSIGNALED(status)) {
        int number = WTERMSIG(status);
        set_default(number);
        kt__set_signals(0, NULL);
        (void)kt__syscall(SYS_kill, kt__syscall(SYS_getpid), number);
        kt__exit(128 + number);
    }
    kt__exit(WEXITSTATUS(status));
}

static _Noreturn void stand(int32_t main)
{
    /* Of what we hold, nothing is of use any more, and a pipe that we kept would never end. */
    (void)kt__syscall(SYS_close_range, 0, ~0U, 0);
    kt__signals all = ~(kt__signals)0;
    for (;;) {
        int status = 0;
        if (reap(main, &status)) {
            end_like(status);
        }
        siginfo_t info;
        long number = kt__syscall(SYS_rt_sigtimedwait, &all, &info, NULL, sizeof all);
        /* What the kernel sends to the foreground group of a terminal has reached the child, too. */
        if (number > 0 && number != SIGCHLD && info.si_code <= 0) {
            (void)kt__syscall(SYS_kill, main, (int)number);
        }
    }
}

int kt__stand_by(struct kt__child *child)
{
    set_default(SIGCHLD); /* ignored, it would let nobody be reaped */
    /* The copy of the parent's memory that stays here must be nobody's to read, not even for an equal user.
     */
    long rc = kt__syscall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (rc < 0) {
        return (int)rc;
    }
    struct kt__clone_process clone = {.exit_signal = SIGCHLD};
    int32_t pid = kt__clone_process(&clone);
    if (pid > 0) {
        stand(pid);
    }
    kt__child_is_new(child);
    return pid;
}
