/* The steps of a child. Each is a system call or two. */
#define _GNU_SOURCE
#include "process/process.h"
#include "base/syscall.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { CLOSE_ON_EXEC = 4 /* CLOSE_RANGE_CLOEXEC */, LAST_SIGNAL = 64 };

int kt__write_file(const char *path, const char *text)
{
    long fd = kt__syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        return (int)fd;
    }
    /* In one write: files of /proc and of cgroups do not accept a partial text. */
    size_t size = strlen(text);
    long written = kt__syscall(SYS_write, fd, text, size);
    close((int)fd);
    return written < 0 ? (int)written : (size_t)written == size ? 0 : -EIO;
}

/* For kernels without close_range (before Linux 5.9), or without its close-on-exec flag (before 5.11). */
static void close_one_by_one(long first, long last, bool at_exec)
{
    struct rlimit limit;
    long end =
        getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 1 << 20 ? (long)limit.rlim_cur : 1 << 20;
    for (long fd = first; fd <= last && fd < end; fd++) {
        if (at_exec) {
            fcntl((int)fd, F_SETFD, FD_CLOEXEC);
        } else {
            close((int)fd);
        }
    }
}

static void close_some(long first, long last, bool at_exec)
{
    if (first <= last && kt__syscall(SYS_close_range, first, last, at_exec ? CLOSE_ON_EXEC : 0) < 0) {
        close_one_by_one(first, last, at_exec);
    }
}

/* Leaves the channel open: it closes at exec by itself. */
static int close_all(const struct kt__child *child, const kt_step *step)
{
    long first = step->fd, last = step->number < 0 ? 0x7fffffff : (long)step->number;
    bool at_exec = step->flags != 0;
    if (child->channel >= first && child->channel <= last && !at_exec) {
        close_some(first, child->channel - 1, false);
        first = child->channel + 1;
    }
    close_some(first, last, at_exec);
    return 0;
}

static int duplicate(const kt_step *step)
{
    if (step->fd == step->number) {
        long flags = kt__syscall(SYS_fcntl, step->fd, F_GETFD, 0);
        return (int)(flags < 0 ? flags : kt__syscall(SYS_fcntl, step->fd, F_SETFD, flags & ~FD_CLOEXEC));
    }
    long rc = kt__syscall(SYS_dup3, step->fd, (int)step->number, 0);
    return rc < 0 ? (int)rc : 0;
}

static int loopback_up(void)
{
    struct ifreq request;
    memset(&request, 0, sizeof request);
    memcpy(request.ifr_name, "lo", sizeof "lo");
    long fd = kt__syscall(SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return (int)fd;
    }
    long rc = kt__syscall(SYS_ioctl, fd, SIOCGIFFLAGS, &request);
    if (rc == 0) {
        request.ifr_flags = (short)(request.ifr_flags | IFF_UP | IFF_RUNNING);
        rc = kt__syscall(SYS_ioctl, fd, SIOCSIFFLAGS, &request);
    }
    close((int)fd);
    return (int)rc;
}

static int change_root(const kt_step *step)
{
    long rc = step->path ? kt__syscall(SYS_chroot, step->path) : kt__syscall(SYS_fchdir, step->fd);
    return (int)(rc < 0 || step->path ? rc : kt__syscall(SYS_chroot, "."));
}

static int default_signals(uint64_t mask)
{
    /* libc's wrapper refuses libc's own two signals. A zeroed action is the default one. */
    const struct {
        uint64_t words[4];
    } action = {{0}};
    for (int number = 1; number <= LAST_SIGNAL; number++) {
        if (mask >> (number - 1) & 1) {
            (void)kt__syscall(SYS_rt_sigaction, number, &action, NULL, sizeof(kt__signals));
        }
    }
    return 0;
}

/* Waits for the parent's message. If the parent has closed the channel, the child ends. */
static int await_go(int channel)
{
    char go;
    long rc;
    while ((rc = kt__syscall(SYS_recvfrom, channel, &go, sizeof go, 0, NULL, NULL)) == -EINTR) {
    }
    if (rc == 0) {
        kt__exit(127);
    }
    return rc < 0 ? (int)rc : 0;
}

/* Tries each path in turn. Returns the error of the first file that exists but cannot be executed, as shells
 * and subprocess do. */
static int execute(const struct kt__child *child, const kt_step *step)
{
    int rc = -ENOENT, first_error = 0;
    kt__set_signals(child->mask, NULL);
    for (char *const *path = step->paths; *path; path++) {
        rc = (int)kt__syscall(SYS_execve, *path, step->argv, step->envp ? step->envp : environ);
        if (rc != -ENOENT && rc != -ENOTDIR && !first_error) {
            first_error = rc;
        }
    }
    return first_error ? first_error : rc;
}

int kt__run_step(struct kt__child *child, const kt_step *step)
{
    switch (step->kind) {
    case KT_STEP_GO:
        return await_go(child->channel);
    case KT_STEP_SETNS:
        return (int)kt__syscall(SYS_setns, step->fd, (int)step->flags);
    case KT_STEP_UNSHARE:
        return (int)kt__syscall(SYS_unshare, (unsigned long)step->flags);
    case KT_STEP_FORK:
        return kt__fork_and_supervise(child);
    case KT_STEP_HOSTNAME:
        return (int)kt__syscall(SYS_sethostname, step->text, strlen(step->text));
    case KT_STEP_DOMAINNAME:
        return (int)kt__syscall(SYS_setdomainname, step->text, strlen(step->text));
    case KT_STEP_LOOPBACK:
        return loopback_up();
    case KT_STEP_SETSID: {
        long rc = kt__syscall(SYS_setsid);
        return rc < 0 ? (int)rc : 0;
    }
    case KT_STEP_SETPGID:
        return (int)kt__syscall(SYS_setpgid, 0, (int)step->number);
    case KT_STEP_CHDIR:
        return (int)(step->path ? kt__syscall(SYS_chdir, step->path) : kt__syscall(SYS_fchdir, step->fd));
    case KT_STEP_CHROOT:
        return change_root(step);
    case KT_STEP_UMASK:
        (void)kt__syscall(SYS_umask, (int)step->number);
        return 0;
    case KT_STEP_WRITE:
        return kt__write_file(step->path, step->text);
    case KT_STEP_CLOSE:
        return close_all(child, step);
    case KT_STEP_DUP:
        return duplicate(step);
    case KT_STEP_NO_NEW_PRIVS:
        return (int)kt__syscall(SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    case KT_STEP_PARENT_DEATH:
        return (int)kt__syscall(SYS_prctl, PR_SET_PDEATHSIG, (int)step->number, 0, 0, 0);
    case KT_STEP_NOT_DUMPABLE:
        return (int)kt__syscall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    case KT_STEP_RLIMIT:
        return (int)kt__syscall(SYS_prlimit64, 0, (int)step->number, step->data, NULL);
    case KT_STEP_NICE:
        return (int)kt__syscall(SYS_setpriority, PRIO_PROCESS, 0, (int)step->number);
    case KT_STEP_CPUS:
        return (int)kt__syscall(SYS_sched_setaffinity, 0, step->count, step->data);
    case KT_STEP_DEFAULT_SIGNALS:
        return default_signals(step->flags);
    case KT_STEP_EXEC:
        return execute(child, step);
    case KT_STEP_GROUPS:
    case KT_STEP_GID:
    case KT_STEP_UID:
    case KT_STEP_CAPABILITIES:
        return kt__step_identity(step);
    default:
        return kt__step_mount(child, step);
    }
}
