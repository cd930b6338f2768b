/* The steps that keep a program from the kernel's own files, such as those of /proc/sys. */
#define _GNU_SOURCE
#include "process/mount_calls.h"

#include <sys/stat.h>

/* In the mount of a slot the kernel has made all names. Elsewhere an enemy may have made links. */
static int open_file(const struct kt__child *child, const kt_step *step)
{
    if (step->slot < 0) {
        return kt_open_in_root(step->path);
    }
    return (int)kt__syscall(SYS_openat, kt__in_slot(child, step->slot), step->path,
                            O_PATH | O_NOFOLLOW | O_CLOEXEC, 0);
}

/* Sets attributes of the mounts at a file and below. A file that is no mount is covered by a copy of itself
 * that is one. */
static int protect(int file, uint64_t attributes)
{
    long rc = kt__set_mount_attributes(file, attributes, true);
    if (rc != -EINVAL) {
        return (int)rc;
    }
    int copy = kt__copy_mounts(file);
    rc = copy < 0 ? copy : kt__set_mount_attributes(copy, attributes, true);
    return kt__closing(copy, rc < 0 ? rc : kt__move_mount(copy, file));
}

/* Puts a cover on a file. Before Linux 6.15 a detached mount cannot be copied: then the first file gets the
 * cover itself, and the others get copies of that. */
static int cover(int file, int cover)
{
    int copy = kt__copy_mounts(cover);
    return copy == -EINVAL ? (int)kt__move_mount(cover, file)
                           : kt__closing(copy, copy < 0 ? copy : kt__move_mount(copy, file));
}

static int mask(const struct kt__child *child, int file, const kt_step *step)
{
    struct stat status;
    if (fstat(file, &status) < 0) {
        return -errno;
    }
    return cover(file, kt__in_slot(child, S_ISDIR(status.st_mode) ? step->fd : step->number));
}

int kt__step_kernel_file(const struct kt__child *child, const kt_step *step)
{
    int file = open_file(child, step);
    if (file < 0) {
        return file == -ENOENT || file == -ENOTDIR ? 0 : file;
    }
    return kt__closing(file,
                       step->kind == KT_STEP_PROTECT ? protect(file, step->flags) : mask(child, file, step));
}
