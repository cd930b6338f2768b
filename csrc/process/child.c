/* What a child may do at any point between clone and its program: say how it went, and end.
 *
 * Only system calls, on memory that is either a copy, in which other threads of the parent may have held any
 * lock, or the parent's own. Nothing here may allocate, lock, or use libc's state beyond errno. */
#define _GNU_SOURCE
#include "process/process.h"

#include <sys/socket.h>

_Noreturn void kt__exit(int status)
{
    for (;;) {
        syscall(SYS_exit_group, status);
    }
}

void kt__say(struct kt__child *child, int32_t place, int32_t error)
{
    child->report = (kt_failure){place, error};
    if (child->channel >= 0) {
        /* A failure means that the parent is gone; the child ends next. */
        (void)kt__syscall(SYS_sendto, child->channel, &child->report, sizeof child->report, MSG_NOSIGNAL,
                          NULL, 0);
    }
}

void kt__child_is_new(const struct kt__child *child)
{
    if (child->tid) {
        *child->tid = (int32_t)kt__syscall(SYS_gettid);
    }
}
