/* Descriptors that stay clear of the standard ones. */
#ifndef KT_LIFT_H
#define KT_LIFT_H

#include "base/syscall.h"

#include <fcntl.h>

enum { KT_HIGHEST_STANDARD = 2 };

/* A new descriptor, or -errno, as a number above `floor`. In a program that runs without standard descriptors
 * their numbers are free: what took one would be read and written, or handed to a child, for the standard
 * one. */
static inline int kt__lift_above(int fd, int floor)
{
    if (fd < 0 || fd > floor) {
        return fd;
    }
    int lifted = (int)kt__syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, floor + 1);
    close(fd);
    return lifted;
}

#endif
