/* The end of a process, seen from its parent.
 *
 * Any number of threads may wait for one process, send signals to it and query it. An interpreter's signal
 * handlers may do so between any two calls. So the thread that reaps the process stores the status in its
 * record before it returns, and all other threads read it there. The status and the pidfd, which is closed at
 * the end, change only under the reaping lock. The lock is held for a system call or two that do not sleep,
 * and by a fork (base/fork.c), so no thread waits long for it. */
#define _GNU_SOURCE
#include "process/process.h"
#include "base/syscall.h"

#include "base/fork.h"
#include "base/fd.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

enum { BY_PIDFD = 3 /* P_PIDFD of waitid(2), Linux 5.4 */, DUMPED_CORE = 0x80 };

/* The status as wait(2) returns it (wait(2), siginfo of sigaction(2)). */
static int32_t status_of(const siginfo_t *info)
{
    if (info->si_code == CLD_EXITED) {
        return (info->si_status & 0xff) << 8;
    }
    return info->si_status | (info->si_code == CLD_DUMPED ? DUMPED_CORE : 0);
}

/* Returns 1 when the process was reaped, 0 while it runs. __WALL includes children with another exit signal
 * than SIGCHLD. */
static int reap(const kt_process *process, int32_t *status)
{
    /* By the pidfd: when other code has reaped this process, the pid may belong to another child. */
    if (process->pidfd >= 0) {
        siginfo_t info = {.si_pid = 0};
        long rc = kt__syscall(SYS_waitid, BY_PIDFD, process->pidfd, &info, WEXITED | WNOHANG | __WALL, NULL);
        if (rc == -ECHILD) {
            return -ECHILD;
        }
        if (rc == 0) {
            *status = info.si_pid ? status_of(&info) : *status;
            return info.si_pid != 0;
        }
    }
    long rc = kt__syscall(SYS_wait4, process->pid, status, WNOHANG | __WALL, NULL);
    return rc > 0 ? 1 : (int)rc;
}

/* Polls the pidfd; only sleeps where there is none. */
static int poll_pidfd(int pidfd, int64_t timeout_ns, short *events)
{
    struct timespec time = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    struct pollfd poll = {.fd = pidfd, .events = POLLIN};
    int rc = (int)kt__syscall(SYS_ppoll, &poll, 1, timeout_ns < 0 ? NULL : &time, NULL, 0);
    *events = rc > 0 ? poll.revents : 0;
    return rc;
}

/* Whether the process has ended though there is nothing to reap: its pidfd shows that. */
static bool is_gone(const kt_process *process)
{
    short events;
    return process->pidfd < 0 || poll_pidfd(process->pidfd, 0, &events) > 0;
}

/* Checks for the end, under the lock. Returns 0 while the process runs. */
static int check_end(kt_process *process)
{
    int32_t status = 0;
    if (process->status == KT_STATUS_NONE) {
        int rc = process->pid > 0 ? reap(process, &status) : -ECHILD;
        if (rc < 0 && rc != -ECHILD) {
            return rc;
        }
        process->status = rc > 0                              ? status
                          : rc == -ECHILD && is_gone(process) ? KT_STATUS_LOST
                                                              : KT_STATUS_NONE;
    }
    bool ended = process->status != KT_STATUS_NONE;
    if (ended && process->sleepers == 0) {
        kt_process_close(process);
    }
    return ended;
}

/* Sleeps until the end. Without a pidfd, or when another thread has closed it, sleeps for NAP_NS at most. */
static int sleep_until_end(int pidfd, kt__deadline deadline)
{
    enum { NAP_NS = 2000000 };
    int64_t left = deadline < 0 ? -1 : deadline - kt__now();
    if (deadline >= 0 && left <= 0) {
        return -ETIMEDOUT;
    }
    int64_t nap = left < 0 || left > NAP_NS ? NAP_NS : left;
    short events;
    int rc = poll_pidfd(pidfd, pidfd < 0 ? nap : left, &events);
    if (rc > 0 && events & POLLNVAL) {
        rc = poll_pidfd(-1, nap, &events);
    }
    return rc < 0 ? rc : 0;
}

int kt_process_wait(kt_process *process, int64_t timeout_ns, int32_t *status)
{
    kt__deadline deadline = kt__deadline_after(timeout_ns);
    int ended, slept = 0;
    kt__lock_reaping();
    while ((ended = check_end(process)) == 0 && slept == 0) {
        int pidfd = process->pidfd;
        process->sleepers++;
        kt__unlock_reaping();
        slept = sleep_until_end(pidfd, deadline);
        kt__lock_reaping();
        process->sleepers--;
    }
    int32_t found = process->status;
    kt__unlock_reaping();
    if (ended <= 0) {
        return ended < 0 ? ended : slept;
    }
    if (status) {
        *status = found == KT_STATUS_LOST ? 0 : found;
    }
    return found == KT_STATUS_LOST ? -ECHILD : 0;
}

int kt_process_signal(const kt_process *process, int32_t signal)
{
    int rc = -ESRCH;
    kt__lock_reaping();
    if (process->status == KT_STATUS_NONE && process->pid > 0) {
        /* SIGSTOP would stop an init alone. SIGTSTP has it stop all (launcher/supervise.h). */
        int32_t number = process->is_init && signal == SIGSTOP ? SIGTSTP : signal;
        rc = (int)(process->pidfd >= 0 ? kt__syscall(SYS_pidfd_send_signal, process->pidfd, number, NULL, 0)
                                       : kt__syscall(SYS_kill, process->pid, number));
    }
    kt__unlock_reaping();
    return rc;
}

int kt_process_pidfd(const kt_process *process)
{
    int rc = -ESRCH;
    kt__lock_reaping();
    if (process->status == KT_STATUS_NONE && process->pid > 0) {
        rc = process->pidfd < 0
                 ? -ENOSYS
                 : (int)kt__syscall(SYS_fcntl, process->pidfd, F_DUPFD_CLOEXEC, KT_HIGHEST_STANDARD + 1);
    }
    kt__unlock_reaping();
    return rc;
}

void kt__process_release(kt_process *process)
{
    if (process->memory) {
        kt__process_memory_give(process->memory);
        process->memory = NULL;
    }
    if (process->channel >= 0) {
        close(process->channel);
    }
    if (process->child_end >= 0) {
        close(process->child_end);
    }
    process->channel = process->child_end = -1;
}

void kt__reap(kt_process *process)
{
    while (kt_process_wait(process, -1, NULL) == -EINTR) {
    }
    kt_process_close(process);
}

void kt_process_close(kt_process *process)
{
    if (process->pid <= 0) {
        return;
    }
    kt__process_release(process);
    if (process->pidfd >= 0) {
        close(process->pidfd);
        process->pidfd = -1;
    }
}
