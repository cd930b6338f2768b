/* The children of the laboratory: an interpreter of steps that needs nothing but its stack. */
#define _GNU_SOURCE
#include "base/clone.h"
#include "cpu.h"
#include "base/syscall.h"

#include <kthreads/kthreads.h>
#include <linux/futex.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#include "lab/lab.h"

#define SYS_NONE (-1)

static const long numbers[KT_LAB_CALLS] = {
    [KT_LAB_STORE] = SYS_NONE,
    [KT_LAB_EXIT] = SYS_exit,
    [KT_LAB_EXIT_GROUP] = SYS_exit_group,
    [KT_LAB_GETPID] = SYS_getpid,
    [KT_LAB_GETPPID] = SYS_getppid,
    [KT_LAB_GETTID] = SYS_gettid,
    [KT_LAB_GETUID] = SYS_getuid,
    [KT_LAB_SETRESUID] = SYS_setresuid,
    [KT_LAB_SETRESGID] = SYS_setresgid,
    [KT_LAB_CHDIR] = SYS_chdir,
    [KT_LAB_GETCWD] = SYS_getcwd,
    [KT_LAB_OPENAT] = SYS_openat,
    [KT_LAB_CLOSE] = SYS_close,
    [KT_LAB_READ] = SYS_read,
    [KT_LAB_WRITE] = SYS_write,
    [KT_LAB_FCNTL] = SYS_fcntl,
    [KT_LAB_READLINKAT] = SYS_readlinkat,
    [KT_LAB_MOUNT] = SYS_mount,
    [KT_LAB_UNAME] = SYS_uname,
    [KT_LAB_SETHOSTNAME] = SYS_sethostname,
    [KT_LAB_SOCKET] = SYS_socket,
    [KT_LAB_IOCTL] = SYS_ioctl,
    [KT_LAB_SEMGET] = SYS_semget,
    [KT_LAB_SEMOP] = SYS_semop,
    [KT_LAB_SEMCTL] = SYS_semctl,
    [KT_LAB_RT_SIGACTION] = SYS_rt_sigaction,
    [KT_LAB_RT_SIGTIMEDWAIT] = SYS_rt_sigtimedwait,
    [KT_LAB_KILL] = SYS_kill,
    [KT_LAB_WAIT4] = SYS_wait4,
    [KT_LAB_PRCTL] = SYS_prctl,
    [KT_LAB_CAPSET] = SYS_capset,
    [KT_LAB_IOPRIO_GET] = SYS_ioprio_get,
    [KT_LAB_IOPRIO_SET] = SYS_ioprio_set,
    [KT_LAB_CLOCK_GETTIME] = SYS_clock_gettime,
    [KT_LAB_UNSHARE] = SYS_unshare,
    [KT_LAB_SETNS] = SYS_setns,
    [KT_LAB_PIDFD_OPEN] = SYS_pidfd_open,
    [KT_LAB_PIDFD_SEND_SIGNAL] = SYS_pidfd_send_signal,
};

static uint64_t word;

uint64_t *kt_lab_word(void)
{
    return &word;
}

static long bare(long number, const uint64_t *arguments)
{
    return kt__bare_syscall(number, (long)arguments[0], (long)arguments[1], (long)arguments[2],
                            (long)arguments[3], (long)arguments[4], (long)arguments[5]);
}

static void *at(uint64_t address)
{
    return (void *)(uintptr_t)address;
}

static void run_steps(void *child);

static long make_child(const kt_lab_child *child)
{
    void **words = (void **)at(child->stack + child->stack_size) - 2; /* the child of kt__spawn loads these */
    void (*entry)(void *) = run_steps;
    __builtin_memcpy(&words[0], &entry, sizeof entry);
    words[1] = at((uint64_t)(uintptr_t)child);
    long sp = (long)(uintptr_t)words;
    if (child->by_clone) {
        uint64_t place = child->flags & CLONE_PIDFD ? child->pidfd : child->parent_tid;
        return kt__spawn(SYS_clone,
                         KT_CLONE_ARGUMENTS((long)(child->flags | child->exit_signal), sp, (long)place,
                                            (long)child->child_tid, (long)child->tls));
    }
    uint64_t arguments[11] = {
        child->flags,
        child->pidfd,
        child->child_tid,
        child->parent_tid,
        child->exit_signal,
        child->stack,
        (uint64_t)sp - child->stack,
        child->tls,
        0,
        0,
        child->cgroup,
    };
    return kt__spawn(SYS_clone3, (long)arguments, sizeof arguments, 0, 0, 0);
}

static long await(uint64_t address, uint32_t value, int64_t timeout_ns)
{
    struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
    uint32_t *place = at(address);
    uint32_t seen;
    while ((seen = __atomic_load_n(place, __ATOMIC_ACQUIRE)) != value) {
        long rc = bare(SYS_futex, (uint64_t[6]){address, FUTEX_WAIT, seen, (uint64_t)(uintptr_t)&timeout});
        if (rc == -ETIMEDOUT) {
            return rc;
        }
    }
    return 0;
}

static long store_and_wake(uint64_t address, uint32_t value)
{
    uint32_t *place = at(address);
    __atomic_store_n(place, value, __ATOMIC_RELEASE);
    return bare(SYS_futex, (uint64_t[6]){address, FUTEX_WAKE, INT32_MAX});
}

static long reap(void)
{
    long count = 0, rc;
    while ((rc = bare(SYS_wait4, (uint64_t[6]){(uint64_t)-1, 0, __WALL})) > 0 || rc == -EINTR) {
        count += rc > 0;
    }
    return count;
}

static long run_step(int32_t call, const uint64_t *arguments)
{
    switch (call) {
    case KT_LAB_STORE:
        *(volatile uint64_t *)at(arguments[0]) = arguments[1];
        return 0;
    case KT_LAB_LOAD:
        return (long)*(volatile uint64_t *)at(arguments[0]);
    case KT_LAB_THREAD_POINTER:
        return (long)kt__thread_pointer();
    case KT_LAB_AWAIT:
        return await(arguments[0], (uint32_t)arguments[1], (int64_t)arguments[2]);
    case KT_LAB_TELL:
        return store_and_wake(arguments[0], (uint32_t)arguments[1]);
    case KT_LAB_CLONE:
        return make_child(at(arguments[0]));
    case KT_LAB_REAP:
        return reap();
    default:
        return call > 0 && call < KT_LAB_CALLS ? bare(numbers[call], arguments) : -ENOSYS;
    }
}

static void run_steps(void *argument)
{
    const kt_lab_child *child = argument;
    kt_lab_step *steps = at(child->steps);
    for (uint64_t i = 0; i < child->count; i++) {
        uint64_t arguments[6];
        for (int a = 0; a < 6; a++) {
            uint64_t given = steps[i].arguments[a];
            arguments[a] = steps[i].indirect & 1u << a ? *(const uint64_t *)at(given) : given;
        }
        steps[i].result = run_step(steps[i].call, arguments);
    }
}

/* Waits for the child's end. Kills the child when the wait fails or times out. */
static int64_t await_end(pid_t pid, int64_t timeout_ns)
{
    int64_t answer = 0;
    int pidfd = (int)kt__syscall(SYS_pidfd_open, pid, 0);
    if (pidfd < 0) {
        answer = pidfd;
    } else {
        struct timespec timeout = {timeout_ns / 1000000000, timeout_ns % 1000000000};
        int rc = (int)kt__negative_errno(
            ppoll(&(struct pollfd){.fd = pidfd, .events = POLLIN}, 1, &timeout, NULL));
        answer = rc == 0 ? -ETIMEDOUT : rc < 0 ? rc : 0;
        close(pidfd);
    }
    if (answer < 0) {
        kill(pid, SIGKILL);
    }
    int status = 0;
    while (waitpid(pid, &status, __WALL) < 0 && errno == EINTR) {
    }
    return answer < 0 ? answer : status;
}

int64_t kt_lab_run(const kt_lab_child *child, int64_t timeout_ns)
{
    kt__signals old;
    /* Signals stay blocked in the child, so that no handler of this process runs there. */
    kt__set_signals(~(kt__signals)0, &old);
    long pid = make_child(child);
    kt__set_signals(old, NULL);
    return pid < 0 ? pid : await_end((pid_t)pid, timeout_ns);
}
