/* The steps of a child. Each is a system call or two. */
#define _GNU_SOURCE
#include "process/process.h"
#include "base/syscall.h"
#include "launcher/program.h"

#include <fcntl.h>
#include <net/if.h>
#include <poll.h>
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

/* Leaves open what the child uses itself, which closes at exec. */
static int close_all(const struct kt__child *child, const kt_step *step)
{
    long first = step->fd, last = step->number < 0 ? 0x7fffffff : (long)step->number;
    bool at_exec = step->flags != 0, in_order = child->channel < child->starter;
    const int used[] = {in_order ? child->channel : child->starter,
                        in_order ? child->starter : child->channel};
    for (int i = 0; i < 2 && !at_exec; i++) {
        if (used[i] >= first && used[i] <= last) {
            close_some(first, used[i] - 1, false);
            first = used[i] + 1;
        }
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

/* A kernel without keyrings, or a filter that refuses them, refuses them to the program, too. */
static int new_keyring(void)
{
    long rc = kt__syscall(SYS_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
    return rc > 0 || rc == -ENOSYS || rc == -EPERM || rc == -EOPNOTSUPP ? 0 : (int)rc;
}

static int default_signals(uint64_t mask)
{
    for (int number = 1; number <= LAST_SIGNAL; number++) {
        if (mask >> (number - 1) & 1) {
            kt__set_default(number);
        }
    }
    return 0;
}

/* The starter may have ended before: then the kernel sends no signal, and the child ends here. */
static int die_with_starter(const struct kt__child *child, const kt_step *step)
{
    long rc = kt__syscall(SYS_prctl, PR_SET_PDEATHSIG, (int)step->number, 0, 0, 0);
    const struct timespec none = {0};
    struct pollfd starter = {.fd = child->starter, .events = POLLIN};
    if (rc == 0 && starter.fd >= 0 && kt__syscall(SYS_ppoll, &starter, 1, &none, NULL, 0) > 0) {
        kt__exit(127);
    }
    return (int)rc;
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

static int execute(struct kt__child *child, const kt_step *step)
{
    if (step->flags) {
        return kt__launch(child, step);
    }
    uint64_t count = 0;
    while (step->paths[count]) {
        count++;
    }
    kt__set_signals(child->mask, NULL);
    return (int)kt__execute_first(step->paths, count, step->argv, step->envp ? step->envp : environ);
}

static bool launches(const struct kt__child *child)
{
    const kt_step *last = child->spec.steps + child->spec.step_count - 1;
    return last->kind == KT_STEP_EXEC && last->flags;
}

static int set_limit(struct kt__child *child, const kt_step *step)
{
    int rc = kt__prepare_launch(child);
    return rc < 0 ? rc : (int)kt__syscall(SYS_prlimit64, 0, (int)step->number, step->data, NULL);
}

/* The launcher makes system calls that the filter may not allow, so it installs the filter after them. */
static int filter_calls(const struct kt__child *child, const kt_step *step)
{
    const struct {
        unsigned short length;
        const void *code;
    } program = {(unsigned short)step->count, step->data};
    return launches(child) ? 0 : (int)kt__syscall(SYS_seccomp, 1 /* SECCOMP_SET_MODE_FILTER */, 0, &program);
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
    case KT_STEP_TERMINAL:
        return (int)kt__syscall(SYS_ioctl, step->fd, TIOCSCTTY, 0);
    case KT_STEP_KEYRING:
        return new_keyring();
    case KT_STEP_SETPGID:
        return (int)kt__syscall(SYS_setpgid, 0, (int)step->number);
    case KT_STEP_CHDIR:
        return kt__change_directory(step);
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
        return die_with_starter(child, step);
    case KT_STEP_NOT_DUMPABLE:
        return (int)kt__syscall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    case KT_STEP_RLIMIT:
        return set_limit(child, step);
    case KT_STEP_NICE:
        return (int)kt__syscall(SYS_setpriority, PRIO_PROCESS, 0, (int)step->number);
    case KT_STEP_CPUS:
        return (int)kt__syscall(SYS_sched_setaffinity, 0, step->count, step->data);
    case KT_STEP_DEFAULT_SIGNALS:
        return default_signals(step->flags);
    case KT_STEP_FILTER:
        return filter_calls(child, step);
    case KT_STEP_EXEC:
        return execute(child, step);
    case KT_STEP_GROUPS:
    case KT_STEP_GID:
    case KT_STEP_UID:
    case KT_STEP_BOUND_CAPABILITIES:
    case KT_STEP_CAPABILITIES:
        return kt__step_identity(step);
    default:
        return kt__step_mount(child, step);
    }
}
