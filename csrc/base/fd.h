/* File descriptors: closed on any path, and with numbers above the standard ones. */
#ifndef KT_FD_H
#define KT_FD_H

#include "base/syscall.h"

#include <fcntl.h>

enum { KT_HIGHEST_STANDARD = 2 };

/* Takes a new descriptor, or -errno. Returns the same descriptor under a number above `floor`, or -errno. In
 * a program that runs without standard descriptors their numbers are free. A descriptor of the engine with
 * such a number would be read, written, or handed to a child in place of the standard one. */
static inline int kt__lift_above(int fd, int floor)
{
    if (fd < 0 || fd > floor) {
        return fd;
    }
    int lifted = (int)kt__syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, floor + 1);
    close(fd);
    return lifted;
}

/* Closes a descriptor, if it is one, and returns rc. */
static inline int kt__closing(int fd, long rc)
{
    if (fd >= 0) {
        close(fd);
    }
    return (int)rc;
}

#endif
