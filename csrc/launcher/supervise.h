/* The supervision of a child by the init of a PID namespace. It reaps the processes that it inherits,
 * forwards signals to its child, and ends as its child did.
 *
 * The engine includes this file, and so does the launcher, which has no libc. Both have kt__syscall. */
#ifndef KT_SUPERVISE_H
#define KT_SUPERVISE_H

#include "launcher/program.h"

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/wait.h>

static _Noreturn void kt__end(int status)
{
    for (;;) {
        (void)kt__syscall(SYS_exit_group, status);
    }
}

/* Reaps all processes that have ended. Returns true when `main` is among them, with its status in *status. */
static bool kt__reap_all(int32_t main, int *status)
{
    bool ended = false;
    int found = 0;
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
static _Noreturn void kt__end_like(int status)
{
    if (WIFSIGNALED(status)) {
        const uint64_t none = 0;
        int number = WTERMSIG(status);
        kt__set_default(number);
        (void)kt__syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
        (void)kt__syscall(SYS_kill, kt__syscall(SYS_getpid), number);
        kt__end(128 + number);
    }
    kt__end(WEXITSTATUS(status));
}

/* The init of a PID namespace stops all its processes, and lets all go on: a program without a shell's
 * control of jobs would ignore SIGTSTP, and its own children would run on. */
static void kt__forward(int32_t main, int number)
{
    bool is_for_all = (number == SIGTSTP || number == SIGCONT) && kt__syscall(SYS_getpid) == 1;
    (void)kt__syscall(SYS_kill, is_for_all ? -1 : main, is_for_all && number == SIGTSTP ? SIGSTOP : number);
}

/* All signals are blocked. */
static _Noreturn void kt__supervise(int32_t main)
{
    /* This process needs none of its descriptors, and a pipe that it kept open would never end. */
    (void)kt__syscall(SYS_close_range, 0, ~0U, 0);
    const uint64_t all = ~UINT64_C(0);
    for (;;) {
        int status = 0;
        if (kt__reap_all(main, &status)) {
            kt__end_like(status);
        }
        siginfo_t info;
        long number = kt__syscall(SYS_rt_sigtimedwait, &all, &info, NULL, sizeof all);
        /* Signals that the kernel sends to a terminal's foreground group reach the child directly; only those
         * of processes are forwarded. But that the terminal has gone is told to the leader of the session. */
        if (number > 0 && number != SIGCHLD && (info.si_code <= 0 || number == SIGHUP)) {
            kt__forward(main, (int)number);
        }
    }
}

#endif
