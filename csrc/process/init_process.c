/* A process that forks and supervises its child. It is a copy of the starter, so it supervises functions. The
 * init of a program is the launcher. */
#define _GNU_SOURCE
#include "process/process.h"
#include "launcher/supervise.h"

#include <sched.h>
#include <sys/prctl.h>

int kt__fork_and_supervise(struct kt__child *child)
{
    kt__set_default(SIGCHLD); /* while SIGCHLD is ignored no child can be reaped */
    /* No other process may read the copy of the parent's memory that stays here, not even one of the same
     * user. */
    long rc = kt__syscall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    if (rc < 0) {
        return (int)rc;
    }
    struct kt__clone_process clone = {.exit_signal = SIGCHLD};
    int32_t pid = kt__clone_process(&clone);
    if (pid > 0) {
        kt__supervise(pid);
    }
    kt__child_store_tid(child);
    return pid;
}
