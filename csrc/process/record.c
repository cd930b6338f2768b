/* The record of a process: filled in as the process is made. */
#define _GNU_SOURCE
#include "process/process.h"

#include "base/fd.h"

#include <signal.h>
#include <stdio.h>

int kt__fail(kt_failure *failure, int32_t place, int rc)
{
    *failure = (kt_failure){place, -rc};
    return rc;
}

void kt__process_init(kt_process *process)
{
    *process = (kt_process){.pid = -1, .pidfd = -1, .status = KT_STATUS_NONE, .channel = -1, .child_end = -1};
}

static int write_map(int32_t pid, const char *name, const char *text)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
    return text ? kt__write_file(path, text) : 0;
}

/* In this order: the kernel accepts an unprivileged map of groups only after setgroups is denied
 * (user_namespaces(7)). */
static int write_maps(int32_t pid, const kt_process_spec *spec, kt_failure *failure)
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

/* Whether the process is the init, and its program a child of it. */
static bool has_init(const kt_process_spec *spec)
{
    bool found = false;
    for (size_t i = 0; i < spec->step_count; i++) {
        const kt_step *step = &spec->steps[i];
        found |= step->kind == KT_STEP_FORK || (step->kind == KT_STEP_EXEC && step->flags & KT_EXEC_INIT);
    }
    return found;
}

int kt__process_made(kt_process *process, int32_t pid, const kt_process_spec *spec, kt_failure *failure)
{
    process->is_init = has_init(spec);
    process->pid = pid;
    /* The child is not reaped yet, so the pid is still its own. */
    int fd = process->pidfd < 0 ? (int)kt__syscall(SYS_pidfd_open, pid, 0) : process->pidfd;
    fd = kt__lift_above(fd, KT_HIGHEST_STANDARD);
    process->pidfd = fd < 0 ? -1 : fd;
    int rc = write_maps(pid, spec, failure);
    if (rc < 0) {
        (void)kt_process_signal(process, SIGKILL);
        kt__reap(process);
    }
    return rc;
}
