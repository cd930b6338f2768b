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
#include <sys/socket.h>

enum { PIDFD_OF_THREAD = O_EXCL /* PIDFD_THREAD, Linux 6.9 */ };

static const uint64_t engine_flags = CLONE_THREAD | CLONE_SETTLS | CLONE_PARENT_SETTID | CLONE_CHILD_SETTID |
                                     CLONE_CHILD_CLEARTID | CLONE_DETACHED | KT_CLONE_PIDFD;

#define STEP(name) (UINT64_C(1) << KT_STEP_##name)

/* Steps that would change the parent, too, by what the child shares with it; those of CLONE_FILES may also
 * leave descriptors open in the parent, or make it wait for ever. */
static const struct {
    uint64_t shared, steps;
} forbidden[] = {
    {CLONE_VM, STEP(FORK) | STEP(NOT_DUMPABLE) | STEP(GID) | STEP(UID)},
    {CLONE_FS,
     STEP(CHDIR) | STEP(CHROOT) | STEP(UMASK) | STEP(PIVOT) | STEP(MKDIR) | STEP(MKFILE) | STEP(SYMLINK)},
    {CLONE_FILES, STEP(GO) | STEP(CLOSE) | STEP(DUP) | STEP(TREE) | STEP(FILESYSTEM)},
    {CLONE_SIGHAND, STEP(DEFAULT_SIGNALS)},
};

/* The kinds of all steps, as bits. */
static uint64_t kinds(const kt_process_spec *spec)
{
    uint64_t found = 0;
    for (size_t i = 0; i < spec->step_count; i++) {
        found |= UINT64_C(1) << (spec->steps[i].kind & 63);
    }
    return found;
}

static bool changes_parent(const kt_process_spec *spec)
{
    bool changes = spec->flags & CLONE_SIGHAND && spec->flags & KT_CLONE_CLEAR_SIGHAND;
    for (size_t i = 0; i < sizeof forbidden / sizeof forbidden[0]; i++) {
        changes |= spec->flags & forbidden[i].shared && kinds(spec) & forbidden[i].steps;
    }
    return changes;
}

static bool executes(const kt_process_spec *spec)
{
    return spec->step_count && spec->steps[spec->step_count - 1].kind == KT_STEP_EXEC;
}

static bool launches(const kt_process_spec *spec)
{
    return executes(spec) && spec->steps[spec->step_count - 1].flags;
}

/* Refuses specs that would wait for ever, or with which the child would change the parent. */
static bool valid(const kt_process_spec *spec)
{
    bool go = kinds(spec) & STEP(GO), maps = spec->uid_map || spec->gid_map || spec->setgroups;
    return !(spec->flags & engine_flags) && spec->exit_signal >= 0 && spec->exit_signal <= 64 &&
           (!(spec->flags & CLONE_VFORK) || !go) && (!maps || go) &&
           (executes(spec) || spec->call || !spec->steps) && !changes_parent(spec) &&
           !(spec->flags & CLONE_FILES && launches(spec)) &&
           (!spec->before_clone || kt__valid_sibling(spec)) &&
           (!spec->stack_size || spec->stack_size >= KT_STACK_MINIMUM);
}

/* The highest descriptor that a step replaces, or that is a standard one. */
static int highest_target(const kt_process_spec *spec)
{
    int highest = KT_HIGHEST_STANDARD;
    for (size_t i = 0; i < spec->step_count; i++) {
        if (spec->steps[i].kind == KT_STEP_DUP && spec->steps[i].number > highest) {
            highest = (int)spec->steps[i].number;
        }
    }
    return highest;
}

int kt__channel_open(int ends[2], const kt_process_spec *spec)
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) {
        return -errno;
    }
    for (int i = 0; i < 2; i++) {
        ends[i] = kt__lift_above(ends[i], highest_target(spec));
    }
    if (ends[0] < 0 || ends[1] < 0) {
        int rc = ends[0] < 0 ? ends[0] : ends[1];
        close(ends[0]);
        close(ends[1]);
        return rc;
    }
    return 0;
}

int kt__starter_open(int *starter, const kt_process_spec *spec)
{
    *starter = -1;
    if (!(kinds(spec) & STEP(PARENT_DEATH)) || spec->flags & CLONE_FILES) {
        return 0;
    }
    int fd = (int)kt__syscall(SYS_pidfd_open, kt__syscall(SYS_gettid), PIDFD_OF_THREAD);
    fd = fd == -EINVAL ? (int)kt__syscall(SYS_pidfd_open, getpid(), 0) : fd;
    *starter = kt__lift_above(fd, highest_target(spec));
    return kt__is_transient(*starter) ? *starter : 0;
}

int32_t *kt__own_tid_word(void)
{
    return kt__libc.found.tid_offset ? kt__descriptor_tid(&kt__libc, (char *)pthread_self()) : NULL;
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

/* Clones the intermediate process, and returns its pid. */
static int clone_intermediate(struct kt__child *child)
{
    struct kt__clone_process clone = {.exit_signal = child->spec.exit_signal};
    child->tid = kt__own_tid_word();
    kt__set_signals(~(kt__signals)0, &child->mask);
    int pid = kt__clone_process(&clone);
    if (pid == 0) {
        kt__become_sibling(child);
        kt__child_main(child);
    }
    kt__set_signals(child->mask, NULL);
    return pid;
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
    bool is_intermediate = child->spec.before_clone;
    rc = is_intermediate ? clone_intermediate(child) : clone_child(process, child);
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
    return is_intermediate ? kt__receive_sibling(process, rc, failure) : rc;
}

/* A child that shares memory with its suspended parent needs no channel. */
static int clone_suspended(kt_process *process, struct kt__child *child, kt_failure *failure)
{
    int rc = clone_child(process, child);
    return rc < 0 ? kt__fail(failure, KT_AT_CLONE, rc) : rc;
}

int kt_process_start(kt_process *process, const kt_process_spec *spec, kt_failure *failure)
{
    kt__process_init(process);
    if (!valid(spec)) {
        return kt__fail(failure, KT_AT_CLONE, -EINVAL);
    }
    struct kt__child child = {.spec = *spec, .channel = -1, .parent_end = -1};
    int rc = kt__starter_open(&child.starter, spec);
    if (rc < 0) {
        return kt__fail(failure, KT_AT_CHANNEL, rc);
    }
    child.call = spec->call ? *spec->call : (kt_call){0};
    child.report.place = KT_REPORT_BEGUN;
    /* With a shared descriptor table exec does not close the channel, and the parent would wait for its end
     * for ever. So the parent is suspended until the exec instead. */
    child.spec.flags |= spec->flags & CLONE_FILES && executes(spec) ? CLONE_VFORK : 0;
    /* With the launcher the parent continues before the program begins, and waits for the report. */
    process->flags = child.spec.flags & ~(launches(spec) ? CLONE_VFORK : 0ULL);
    bool suspended = process->flags & CLONE_VFORK && process->flags & CLONE_VM;
    rc = (suspended ? clone_suspended : clone_with_channel)(process, &child, failure);
    kt__closing(child.starter, 0);
    return rc < 0 ? rc : kt__process_made(process, rc, spec, failure);
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
