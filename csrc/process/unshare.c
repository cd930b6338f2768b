/* Changes and compares what the calling thread shares with others. */
#define _GNU_SOURCE
#include <kthreads/kthreads.h>

#include "base/syscall.h"

int kt_unshare(uint64_t flags)
{
    return (int)kt__syscall(SYS_unshare, flags);
}

int kt_setns(int32_t fd, uint64_t flags)
{
    return (int)kt__syscall(SYS_setns, fd, (int)flags);
}

int kt_same(int32_t tid, int32_t other, int32_t resource)
{
    long order = kt__syscall(SYS_kcmp, tid, other, resource, 0, 0);
    return order < 0 ? (int)order : order == 0;
}

#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif

int kt_descriptor_of(int32_t pidfd, int32_t fd)
{
    return (int)kt__syscall(SYS_pidfd_getfd, pidfd, fd, 0);
}
