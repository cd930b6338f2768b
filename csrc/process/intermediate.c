/* Makes a process by way of an intermediate one.
 *
 * The intermediate process takes the first steps of the spec, such as entering namespaces. It then clones the
 * process with CLONE_PARENT and the requested flags, as its sibling and so as a child of the starter; reports
 * its pid, and ends. The namespaces that are new lie in those that were entered, and a PID namespace that was
 * entered has effect: setns(2) changes only where the children of the caller go. No process stays between the
 * starter and the process, which the starter so waits for and signals as any other.
 *
 * The sibling begins with KT_STEP_GO, and so reports nothing before the starter has got its pid.
 *
 * This has limits. The sharing flags of clone would share with the intermediate process, so they are refused.
 * With CLONE_PARENT the kernel gives the sibling the exit signal of the intermediate process. So the
 * intermediate process, which is reaped here, causes a second signal. */
#define _GNU_SOURCE
#include "process/process.h"

#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>

static const uint64_t allowed_flags = CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |
                                      CLONE_NEWPID | CLONE_NEWNET | KT_CLONE_NEWCGROUP | KT_CLONE_NEWTIME |
                                      KT_CLONE_CLEAR_SIGHAND | KT_CLONE_INTO_CGROUP;

bool kt__valid_sibling(const kt_process_spec *spec)
{
    return !(spec->flags & ~allowed_flags) && spec->before_clone < spec->step_count &&
           spec->steps[spec->before_clone].kind == KT_STEP_GO;
}

void kt__become_sibling(struct kt__child *child)
{
    const kt_process_spec *spec = &child->spec;
    child->reset_signals = spec->flags & KT_CLONE_CLEAR_SIGHAND;
    struct kt__clone_process clone = {.flags = (spec->flags & ~KT_CLONE_CLEAR_SIGHAND) | CLONE_PARENT,
                                      .cgroup = spec->cgroup,
                                      .set_tid = spec->set_tid,
                                      .set_tid_count = spec->set_tid_count};
    close(child->parent_end);
    child->parent_end = -1;
    kt__take_steps(child, 0, spec->before_clone);
    int pid = kt__clone_process(&clone);
    if (pid == 0) {
        return;
    }
    kt__report(child, pid < 0 ? KT_AT_CLONE : KT_REPORT_CLONED, pid < 0 ? -pid : pid);
    kt__exit(0);
}

static int receive_pid(int channel, kt_failure *failure)
{
    long n;
    while ((n = kt__syscall(SYS_recvfrom, channel, failure, sizeof *failure, 0, NULL, NULL)) == -EINTR) {
    }
    if (n != sizeof *failure) {
        return kt__fail(failure, KT_AT_CLONE, -ECHILD);
    }
    return failure->place == KT_REPORT_CLONED ? failure->error : -failure->error;
}

int kt__receive_sibling(kt_process *process, int32_t intermediate, kt_failure *failure)
{
    int pid = receive_pid(process->channel, failure);
    while (kt__syscall(SYS_wait4, intermediate, NULL, __WALL, NULL) == -EINTR) {
    }
    if (pid < 0) {
        kt__process_release(process);
    }
    return pid;
}
