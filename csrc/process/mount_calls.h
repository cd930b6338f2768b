/* The mount API of Linux 5.2 and mount_setattr(2) of Linux 5.12, on descriptors alone. */
#ifndef KT_MOUNT_CALLS_H
#define KT_MOUNT_CALLS_H

#include "base/fd.h"
#include "process/process.h"

/* Values of linux/mount.h and linux/fcntl.h, which cannot be included together with sys/mount.h of some
 * libcs. */
enum {
    TREE_CLONE = 1,
    TREE_CLOEXEC = O_CLOEXEC,
    RECURSIVE = 0x8000,
    MOVE_BETWEEN_DESCRIPTORS = 0x4 | 0x40, /* MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH */
    CONFIG_FLAG = 0,
    CONFIG_STRING = 1,
    CONFIG_CREATE = 6,
    OPEN_CLOEXEC = 1,
    MOUNT_CLOEXEC = 1,
    ID_MAP = 0x100000 /* MOUNT_ATTR_IDMAP */
};

struct attributes { /* struct mount_attr */
    uint64_t set, clear, propagation, userns;
};

static inline int kt__in_slot(const struct kt__child *child, int64_t slot)
{
    return slot >= 0 && slot < KT_SLOTS ? child->slots[slot] : -1;
}

/* A detached copy of the mounts at an open file. */
static inline int kt__copy_mounts(int fd)
{
    return (int)kt__syscall(SYS_open_tree, fd, "",
                            TREE_CLONE | TREE_CLOEXEC | RECURSIVE | (unsigned)AT_EMPTY_PATH);
}

static inline long kt__move_mount(int mount, int point)
{
    return kt__syscall(SYS_move_mount, mount, "", point, "", MOVE_BETWEEN_DESCRIPTORS);
}

static inline long kt__set_mount_attributes(int mount, uint64_t set, bool recursive)
{
    struct attributes attributes = {.set = set};
    return kt__syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH | (recursive ? RECURSIVE : 0), &attributes,
                       sizeof attributes);
}

#endif
