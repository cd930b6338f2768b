/* Makes a process from a spec: the parent's side. */
#define _GNU_SOURCE
#include "process/process.h"
#include "base/syscall.h"

#include "libc/descriptor.h"
#include "base/kernel_features.h"
#include "base/fork.h"
#include "base/fd.h"
#include "thread/thread.h"

#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>

static const uint64_t engine_flags = CLONE_THREAD | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID |
                                     CLONE_CHILD_CLEARTID | CLONE_DETACHED | KT_CLONE_PIDFD;

static bool has_step(const kt_process_spec *spec, int32_t kind)
{
    for (size_t i = 0; i < spec->step_count; i++) {
        if (spec->steps[i].kind == kind) {
            return true;
        }
    }
    return false;
}

static bool executes(const kt_process_spec *spec)
{
    return spec->step_count && spec->steps[spec->step_count - 1].kind == KT_STEP_EXEC;
}

/* Refuses specs that would wait for ever, or in which a step of the child would change the parent. */
static bool valid(const kt_process_spec *spec)
{
    bool go = has_step(spec, KT_STEP_GO), maps = spec->uid_map || spec->gid_map || spec->setgroups;
    return !(spec->flags & engine_flags) && spec->exit_signal >= 0 && spec->exit_signal <= 64 &&
           (!(spec->flags & CLONE_VFORK) || !go) && (!maps || go) &&
           (executes(spec) || spec->call || !spec->steps) &&
           !(spec->flags & CLONE_VM && has_step(spec, KT_STEP_FORK)) &&
           !(spec->flags & CLONE_FILES &&
             (go || has_step(spec, KT_STEP_CLOSE) || has_step(spec, KT_STEP_DUP))) &&
           (!spec->stack_size || spec->stack_size >= KT_STACK_MINIMUM);
}

int kt__fail(kt_failure *failure, int32_t place, int rc)
{
    *failure = (kt_failure){place, -rc};
    return rc;
}

int kt__channel_open(int ends[2], const kt_process_spec *spec)
{
    int highest = KT_HIGHEST_STANDARD;
    for (size_t i = 0; i < spec->step_count; i++) {
        if (spec->steps[i].kind == KT_STEP_DUP && spec->steps[i].number > highest) {
            highest = (int)spec->steps[i].number;
        }
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        return -errno;
    }
    for (int i = 0; i < 2; i++) {
        ends[i] = kt__lift_above(ends[i], highest);
    }
    if (ends[0] < 0 || ends[1] < 0) {
        int rc = ends[0] < 0 ? ends[0] : ends[1];
        close(ends[0]);
        close(ends[1]);
        return rc;
    }
    return 0;
}

static int write_map(int32_t pid, const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return text ? kt__write_file(path, text) : 0;
}

/* In this order: the kernel accepts an unprivileged map of groups only after setgroups is denied
 * (user_namespaces(7)). */
int kt__write_maps(int32_t pid, const kt_process_spec *spec, kt_failure *failure)
{
    int rc = write_map(pid, "setgroups", spec->setgroups);
    if (rc < 0) {
        return kt__fail(failure, KT_AT_SETGROUPS, rc);
    }
    rc = write_map(pid, "uid_map", spec->uid_map);
    if (rc < 0) {
        return kt__fail(failure, KT_AT_UID_MAP, rc);
    }
    rc = write_map(pid, "gid_map", spec->gid_map);
    return rc < 0 ? kt__fail(failure, KT_AT_GID_MAP, rc) : 0;
}

int32_t *kt__own_tid_word(void)
{
    return kt__libc.found.tid_offset ? kt__descriptor_tid(&kt__libc, (char *)pthread_self()) : NULL;
}

/* Moves the pidfd above the standard descriptors. Returns -1 on failure. */
static int own_pidfd(int fd)
{
    int lifted = kt__lift_above(fd, KT_HIGHEST_STANDARD);
    return lifted < 0 ? -1 : lifted;
}

int kt__pidfd_of(int32_t pid)
{
    return own_pidfd((int)kt__syscall(SYS_pidfd_open, pid, 0));
}

static void child_entry(void *child)
{
    kt__child_main(child);
}

static void *child_routine(void *child)
{
    kt__child_main(child);
    return NULL;
}

/* Clones with all signals blocked: the child cannot run a handler yet. */
static int clone_blocked(struct kt__clone_process *clone, struct kt__child *child)
{
    kt__set_signals(~(kt__signals)0, &child->mask);
    int pid = kt__clone_process(clone);
    if (pid == 0) {
        kt__child_main(child);
    }
    kt__set_signals(child->mask, NULL);
    return pid;
}

/* A child that shares memory while its parent continues needs its own TLS, at least for errno. A child whose
 * parent is suspended until the exec uses its parent's TLS, as with vfork. */
static int clone_shared(kt_process *process, struct kt__clone_process *clone, const struct kt__child *child)
{
    bool own_tls = !(clone->flags & CLONE_VFORK) || child->spec.call;
    struct kt__clone stack = {.entry = child_entry};
    int rc = !own_tls ? 0 : KT_THREAD_SANITIZER ? -ENOTSUP : kt__ready();
    if (rc < 0) {
        return rc;
    }
    rc = kt__process_memory_take(&process->memory, child, own_tls ? child_routine : NULL, &stack);
    if (rc < 0) {
        return rc;
    }
    clone->flags |= CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | (own_tls ? CLONE_SETTLS : 0);
    clone->child_tid = kt__process_memory_word(process->memory);
    clone->stack = &stack;
    int saved = errno;
    int pid = clone_blocked(clone, kt__process_memory_child(process->memory));
    errno = saved; /* a child that uses this TLS has changed it */
    if (pid < 0) {
        kt__process_memory_unused(process->memory);
        kt__process_memory_give(process->memory);
        process->memory = NULL;
    }
    return pid;
}

static int clone_once(kt_process *process, struct kt__child *child)
{
    const kt_process_spec *spec = &child->spec;
    struct kt__clone_process clone = {.flags = spec->flags | KT_CLONE_PIDFD,
                                      .exit_signal = spec->exit_signal,
                                      .cgroup = spec->cgroup,
                                      .pidfd = &process->pidfd,
                                      .set_tid = spec->set_tid,
                                      .set_tid_count = spec->set_tid_count};
    clone.flags &= child->reset_signals ? ~KT_CLONE_CLEAR_SIGHAND : ~UINT64_C(0);
    if (spec->flags & CLONE_VM) {
        return clone_shared(process, &clone, child);
    }
    child->tid = kt__own_tid_word();
    return clone_blocked(&clone, child);
}

static int clone_child(kt_process *process, struct kt__child *child)
{
    bool clears = child->spec.flags & KT_CLONE_CLEAR_SIGHAND;
    child->reset_signals = clears && kt__lacks(KT_FEATURE_CLONE3);
    int rc = clone_once(process, child);
    if (rc == -EINVAL && clears && !child->reset_signals) {
        child->reset_signals = true; /* clone3 of Linux 5.3 and 5.4 does not have this flag */
        rc = clone_once(process, child);
    }
    return rc;
}

/* The child reports over a channel, and waits on it for kt_process_go. The lock keeps both ends of the
 * channel out of other children. */
static int clone_with_channel(kt_process *process, struct kt__child *child, kt_failure *failure)
{
    int ends[2];
    bool shared = child->spec.flags & CLONE_FILES;
    kt__lock_spawning();
    int rc = kt__channel_open(ends, &child->spec);
    if (rc < 0) {
        kt__unlock_spawning();
        return kt__fail(failure, KT_AT_CHANNEL, rc);
    }
    child->channel = ends[1];
    child->parent_end = shared ? -1 : ends[0];
    rc = clone_child(process, child);
    if (rc < 0 || !shared) {
        close(ends[1]);
    } else {
        process->child_end = ends[1];
    }
    kt__unlock_spawning();
    if (rc < 0) {
        close(ends[0]);
        return kt__fail(failure, KT_AT_CLONE, rc);
    }
    process->channel = ends[0];
    return rc;
}

/* A child that shares memory with its suspended parent needs no channel. */
static int clone_suspended(kt_process *process, struct kt__child *child, kt_failure *failure)
{
    int rc = clone_child(process, child);
    return rc < 0 ? kt__fail(failure, KT_AT_CLONE, rc) : rc;
}

void kt__process_init(kt_process *process)
{
    *process = (kt_process){.pid = -1, .pidfd = -1, .status = KT_STATUS_NONE, .channel = -1, .child_end = -1};
}

int kt_process_start(kt_process *process, const kt_process_spec *spec, kt_failure *failure)
{
    kt__process_init(process);
    if (!valid(spec)) {
        return kt__fail(failure, KT_AT_CLONE, -EINVAL);
    }
    struct kt__child child = {.spec = *spec, .channel = -1, .parent_end = -1};
    child.call = spec->call ? *spec->call : (kt_call){0};
    child.report.place = KT_REPORT_BEGUN;
    /* With a shared descriptor table exec does not close the channel, and the parent would wait for its end
     * for ever. So the parent is suspended until the exec instead. */
    child.spec.flags |= spec->flags & CLONE_FILES && executes(spec) ? CLONE_VFORK : 0;
    process->flags = child.spec.flags;
    bool suspended = child.spec.flags & CLONE_VFORK && child.spec.flags & CLONE_VM;
    int rc = (suspended ? clone_suspended : clone_with_channel)(process, &child, failure);
    if (rc < 0) {
        return rc;
    }
    process->pid = rc;
    /* The child is not reaped yet, so the pid is still its own. */
    process->pidfd = process->pidfd < 0 ? kt__pidfd_of(rc) : own_pidfd(process->pidfd);
    rc = kt__write_maps(process->pid, spec, failure);
    if (rc < 0) {
        (void)kt_process_signal(process, SIGKILL);
        kt__reap(process);
    }
    return rc;
}

static int verdict(const kt_failure *report)
{
    return report->place == KT_REPORT_BEGUN ? 0 : -report->error;
}

static int read_report(const kt_process *process, kt_failure *failure)
{
    /* After vfork the child has executed its program, ended, or reported a failure. */
    int flags = process->flags & CLONE_VFORK ? MSG_DONTWAIT : 0;
    long n;
    do {
        /* When a child ends without having read the message of kt_process_go, the parent gets ECONNRESET
         * once, before the child's report (net/unix/af_unix.c, unix_release_sock). */
        n = kt__syscall(SYS_recvfrom, process->channel, failure, sizeof *failure, flags, NULL, NULL);
    } while (n == -ECONNRESET);
    if (n == -EINTR) {
        return -EINTR;
    }
    return n == sizeof *failure ? verdict(failure) : 0;
}

static int receive_report(const kt_process *process, kt_failure *failure)
{
    if (process->channel < 0) {
        *failure = kt__process_memory_child(process->memory)->report;
        return verdict(failure);
    }
    /* The child may get this message twice, may not wait for it, or may have ended. Only its report
     * counts. */
    if (!(process->flags & CLONE_VFORK)) {
        (void)kt__syscall(SYS_sendto, process->channel, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT, NULL, 0);
    }
    return read_report(process, failure);
}

int kt_process_go(kt_process *process, kt_failure *failure)
{
    if (process->channel < 0 && !process->memory) {
        return 0;
    }
    int rc = receive_report(process, failure);
    if (rc == -EINTR) {
        return rc;
    }
    kt__process_release(process);
    if (rc < 0) {
        kt__reap(process);
    }
    return rc;
}
