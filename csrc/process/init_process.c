/* A process that forks and supervises its child: the init of a PID namespace, or the process between the
 * outside and the inside of a namespace. It reaps the processes that it inherits, forwards signals to its
 * child, and ends as its child did. */
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

/* Reaps all processes that have ended. Returns true when `main` is among them, with its status in *status. */
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

/* Ends by the same signal as the child, so that the parent sees it. The init of a PID namespace cannot; it
 * reports the signal by an exit status, as shells do. */
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

static _Noreturn void supervise(int32_t main)
{
    /* This process needs none of its descriptors, and a pipe that it kept open would never end. */
    (void)kt__syscall(SYS_close_range, 0, ~0U, 0);
    kt__signals all = ~(kt__signals)0;
    for (;;) {
        int status = 0;
        if (reap(main, &status)) {
            end_like(status);
        }
        siginfo_t info;
        long number = kt__syscall(SYS_rt_sigtimedwait, &all, &info, NULL, sizeof all);
        /* Signals that the kernel sends to a terminal's foreground group reach the child directly; only those
         * of processes are forwarded. */
        if (number > 0 && number != SIGCHLD && info.si_code <= 0) {
            (void)kt__syscall(SYS_kill, main, (int)number);
        }
    }
}

int kt__fork_and_supervise(struct kt__child *child)
{
    set_default(SIGCHLD); /* while SIGCHLD is ignored no child can be reaped */
    /* No other process may read the copy of the parent's memory that stays here, not even one of the same
     * user. */
    long rc = kt__syscall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (rc < 0) {
        return (int)rc;
    }
    struct kt__clone_process clone = {.exit_signal = SIGCHLD};
    int32_t pid = kt__clone_process(&clone);
    if (pid > 0) {
        supervise(pid);
    }
    kt__child_store_tid(child);
    return pid;
}
