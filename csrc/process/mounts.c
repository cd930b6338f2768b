/* The steps of a child that set up its file system.
 *
 * A mount is made detached, as a descriptor in a slot, and attached to a path later (the mount API of Linux
 * 5.2). So its source is looked up in the old root and its place in the new one. An earlier mount hides no
 * source, and no symbolic link in the new root can lead to the old one, which is gone by then. In a user
 * namespace the kernel requires that the old /proc is visible while a new one is made (mount_too_revealing,
 * fs/namespace.c); this order meets that, too. */
#define _GNU_SOURCE
#include "process/process.h"
#include "base/syscall.h"

#include <fcntl.h>
#include <sys/mount.h>

/* Values of linux/mount.h and linux/fcntl.h, which cannot be included together with sys/mount.h of some
 * libcs. */
enum {
    TREE_CLONE = 1,
    TREE_CLOEXEC = O_CLOEXEC,
    RECURSIVE = 0x8000,
    MOVE_FROM_DESCRIPTOR = 0x4,
    MOVE_FOLLOW_TARGET = 0x10,
    CONFIG_FLAG = 0,
    CONFIG_STRING = 1,
    CONFIG_CREATE = 6,
    OPEN_CLOEXEC = 1,
    MOUNT_CLOEXEC = 1
};

struct attributes { /* struct mount_attr */
    uint64_t set, clear, propagation, userns;
};

static int store_in_slot(struct kt__child *child, const kt_step *step, long fd)
{
    if (fd < 0) {
        return (int)fd;
    }
    if (step->slot < 0 || step->slot >= KT_SLOTS) {
        close((int)fd);
        return -EINVAL;
    }
    child->slots[step->slot] = (int)fd;
    return 0;
}

static int in_slot(const struct kt__child *child, const kt_step *step)
{
    return step->slot >= 0 && step->slot < KT_SLOTS ? child->slots[step->slot] : -1;
}

static long configure(long context, const kt_step *step)
{
    for (char *const *option = step->argv; option && *option; option += 2) {
        const char *value = option[1];
        long rc = *value ? kt__syscall(SYS_fsconfig, context, CONFIG_STRING, option[0], value, 0)
                         : kt__syscall(SYS_fsconfig, context, CONFIG_FLAG, option[0], NULL, 0);
        if (rc < 0) {
            return rc;
        }
    }
    long rc = kt__syscall(SYS_fsconfig, context, CONFIG_CREATE, NULL, NULL, 0);
    return rc < 0 ? rc : kt__syscall(SYS_fsmount, context, MOUNT_CLOEXEC, (unsigned)step->flags);
}

static long make_filesystem(const kt_step *step)
{
    long context = kt__syscall(SYS_fsopen, step->type, OPEN_CLOEXEC);
    if (context < 0) {
        return context;
    }
    long fd = configure(context, step);
    close((int)context);
    return fd;
}

static int set_attributes(const struct kt__child *child, const kt_step *step)
{
    struct attributes attributes = {.set = step->flags};
    int fd = step->path ? AT_FDCWD : in_slot(child, step);
    return (int)kt__syscall(SYS_mount_setattr, fd, step->path ? step->path : "",
                            step->path ? 0 : AT_EMPTY_PATH | RECURSIVE, &attributes, sizeof attributes);
}

static int attach(struct kt__child *child, const kt_step *step)
{
    int fd = in_slot(child, step);
    long rc =
        kt__syscall(SYS_move_mount, fd, "", AT_FDCWD, step->path, MOVE_FROM_DESCRIPTOR | MOVE_FOLLOW_TARGET);
    if (rc == 0) {
        close(fd);
        child->slots[step->slot] = -1;
    }
    return (int)rc;
}

/* The old root is mounted on top of the new one and then unmounted, so it needs no folder in the new root
 * (pivot_root(2), NOTES). */
static int pivot(const char *path)
{
    long rc = kt__syscall(SYS_chdir, path);
    rc = rc < 0 ? rc : kt__syscall(SYS_pivot_root, ".", ".");
    rc = rc < 0 ? rc : kt__syscall(SYS_umount2, ".", MNT_DETACH);
    return (int)(rc < 0 ? rc : kt__syscall(SYS_chdir, "/"));
}

static int unless_it_exists(long rc)
{
    return rc == -EEXIST ? 0 : (int)rc;
}

static int make_file(const kt_step *step)
{
    long fd = kt__syscall(SYS_openat, AT_FDCWD, step->path, O_CREAT | O_EXCL | O_CLOEXEC | O_WRONLY,
                          (int)step->number);
    if (fd >= 0) {
        close((int)fd);
        return 0;
    }
    return unless_it_exists(fd);
}

int kt__step_mount(struct kt__child *child, const kt_step *step)
{
    switch (step->kind) {
    case KT_STEP_MOUNT:
        return (int)kt__syscall(SYS_mount, step->source, step->path, step->type, (unsigned long)step->flags,
                                step->text);
    case KT_STEP_UNMOUNT:
        return (int)kt__syscall(SYS_umount2, step->path, (int)step->flags);
    case KT_STEP_TREE:
        return store_in_slot(
            child, step,
            kt__syscall(SYS_open_tree, AT_FDCWD, step->path, TREE_CLONE | TREE_CLOEXEC | RECURSIVE));
    case KT_STEP_FILESYSTEM:
        return store_in_slot(child, step, make_filesystem(step));
    case KT_STEP_ATTRIBUTES:
        return set_attributes(child, step);
    case KT_STEP_ATTACH:
        return attach(child, step);
    case KT_STEP_PIVOT:
        return pivot(step->path);
    case KT_STEP_MKDIR:
        return unless_it_exists(kt__syscall(SYS_mkdirat, AT_FDCWD, step->path, (int)step->number));
    case KT_STEP_MKFILE:
        return make_file(step);
    case KT_STEP_SYMLINK:
        return unless_it_exists(kt__syscall(SYS_symlinkat, step->text, AT_FDCWD, step->path));
    default:
        return -EINVAL;
    }
}
