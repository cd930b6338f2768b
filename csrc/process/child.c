/* What a child may do at any point between clone and its program: store its tid, report to its parent, and
 * end.
 *
 * These functions make system calls only. The child's memory is either a copy, in which other threads of the
 * parent may have held any lock, or the parent's own. So the functions do not allocate, lock, or use libc's
 * state except errno. */
#define _GNU_SOURCE
#include "process/process.h"

#include <sys/socket.h>

_Noreturn void kt__exit(int status)
{
    for (;;) {
        syscall(SYS_exit_group, status);
    }
}

void kt__report(struct kt__child *child, int32_t place, int32_t error)
{
    child->report = (kt_failure){place, error};
    if (child->channel >= 0) {
        /* This fails only when the parent is gone; then the child ends next. */
        (void)kt__syscall(SYS_sendto, child->channel, &child->report, sizeof child->report, MSG_NOSIGNAL,
                          NULL, 0);
    }
}

void kt__child_store_tid(const struct kt__child *child)
{
    if (child->tid) {
        *child->tid = (int32_t)kt__syscall(SYS_gettid);
    }
}
