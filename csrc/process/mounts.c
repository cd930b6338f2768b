/* The steps of a child that set up its file system.
 *
 * A mount is made detached, as a descriptor in a slot, and attached to a path later (the mount API of Linux
 * 5.2). So its source is looked up in the old root and its place in the new one. An earlier mount hides no
 * source, and no symbolic link in the new root can lead to the old one, which is gone by then. Mount points
 * are found by root_path.c, which follows no magic link either. In a user namespace the kernel requires that
 * the old /proc is visible while a new one is made (mount_too_revealing, fs/namespace.c); this order meets
 * that, too. */
#define _GNU_SOURCE
#include "process/mount_calls.h"

#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

static bool is_folder(int fd)
{
    struct stat status;
    return fstat(fd, &status) == 0 && S_ISDIR(status.st_mode);
}

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

/* A copy of the mounts at a path; where there is none, the tree that the caller has taken already. */
static long take_tree(const kt_step *step)
{
    if (!step->path) {
        return kt__syscall(SYS_fcntl, step->fd, F_DUPFD_CLOEXEC, 0);
    }
    return kt__syscall(SYS_open_tree, AT_FDCWD, step->path, TREE_CLONE | TREE_CLOEXEC | RECURSIVE);
}

static int set_attributes(const struct kt__child *child, const kt_step *step)
{
    if (!step->path) {
        return (int)kt__set_mount_attributes(kt__in_slot(child, step->slot), step->flags, true);
    }
    int fd = kt_open_in_root(step->path);
    return kt__closing(fd, fd < 0 ? fd : kt__set_mount_attributes(fd, step->flags, step->number != 0));
}

/* The kernel answers EINVAL where one of them is a folder and the other is not. */
static long attach_to(int mount, int point)
{
    long rc = kt__move_mount(mount, point);
    return rc == -EINVAL && is_folder(mount) != is_folder(point) ? -ENOTDIR : rc;
}

/* The descriptor in the slot stays that of the mount, so that later steps find files in it. */
static int attach(struct kt__child *child, const kt_step *step)
{
    int point = kt_open_in_root(step->path);
    return kt__closing(point, point < 0 ? point : attach_to(kt__in_slot(child, step->slot), point));
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

/* What is there already is kept, if it serves: where a folder is needed, what the path leads to is one; a
 * link has the same text. */
static int check_existing(int folder, const char *name, const kt_step *step)
{
    char text[PATH_MAX];
    if (step->kind == KT_STEP_MKDIR) {
        int fd = kt_open_in_root(step->path);
        return kt__closing(fd, fd < 0 ? fd : is_folder(fd) ? 0 : -ENOTDIR);
    }
    if (step->kind == KT_STEP_MKFILE) {
        return 0;
    }
    long length = kt__syscall(SYS_readlinkat, folder, name, text, sizeof text);
    bool same = length == (long)strlen(step->text) && memcmp(text, step->text, (size_t)length) == 0;
    return same ? 0 : -EEXIST;
}

static int make_file(int folder, const char *name, const kt_step *step)
{
    long fd =
        kt__syscall(SYS_openat, folder, name, O_CREAT | O_EXCL | O_CLOEXEC | O_WRONLY, (int)step->number);
    return kt__closing((int)fd, fd < 0 ? fd : 0);
}

/* None of the calls follows a link that is there already. */
static long make_in(int folder, const char *name, const kt_step *step)
{
    switch (step->kind) {
    case KT_STEP_MKDIR:
        return kt__syscall(SYS_mkdirat, folder, name, (int)step->number);
    case KT_STEP_MKFILE:
        return make_file(folder, name, step);
    default:
        return kt__syscall(SYS_symlinkat, step->text, folder, name);
    }
}

/* Makes a folder, a file or a symbolic link, with the mode that is meant whatever the umask is. */
static int make(const kt_step *step)
{
    const char *name;
    int folder = kt__open_parent(step->path, &name);
    if (folder < 0) {
        return folder;
    }
    long umask = kt__syscall(SYS_umask, 0);
    long rc = make_in(folder, name, step);
    (void)kt__syscall(SYS_umask, umask);
    return kt__closing(folder, rc == -EEXIST ? check_existing(folder, name, step) : rc);
}

int kt_tree_with_ids(const char *path, int32_t user_namespace)
{
    int fd = (int)kt__syscall(SYS_open_tree, AT_FDCWD, path, TREE_CLONE | TREE_CLOEXEC | RECURSIVE);
    struct attributes attributes = {.set = ID_MAP, .userns = (uint64_t)user_namespace};
    long rc = fd < 0 ? fd
                     : kt__syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | RECURSIVE, &attributes,
                                   sizeof attributes);
    if (rc < 0 && fd >= 0) {
        close(fd);
    }
    return rc < 0 ? (int)rc : fd;
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
        return store_in_slot(child, step, take_tree(step));
    case KT_STEP_FILESYSTEM:
        return store_in_slot(child, step, make_filesystem(step));
    case KT_STEP_ATTRIBUTES:
        return set_attributes(child, step);
    case KT_STEP_ATTACH:
        return attach(child, step);
    case KT_STEP_PROTECT:
    case KT_STEP_MASK:
        return kt__step_kernel_file(child, step);
    case KT_STEP_PIVOT:
        return pivot(step->path);
    case KT_STEP_MKDIR:
    case KT_STEP_MKFILE:
    case KT_STEP_SYMLINK:
        return make(step);
    default:
        return -EINVAL;
    }
}
