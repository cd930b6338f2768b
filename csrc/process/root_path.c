/* Paths in a root whose files an enemy may have written.
 *
 * The calling process is in that root, by pivot_root, chroot or setns. So neither ".." nor an absolute
 * symbolic link leads out of it. What does lead out is a magic link of /proc, such as /proc/self/fd/3: the
 * kernel follows it to the open file itself, wherever that is. No function here follows one (CVE-2024-21626).
 *
 * A file that is found is used by its descriptor: a path that was checked may lead elsewhere when it is used.
 */
#define _GNU_SOURCE
#include "base/fd.h"
#include "process/process.h"

#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

enum { NO_MAGIC_LINKS = 0x02, IN_ROOT = 0x10 }; /* RESOLVE_* of linux/openat2.h */
enum { OPEN = O_PATH | O_CLOEXEC, MOST_LINKS = 40, MOST_RETRIES = 1000 };

struct open_how {
    uint64_t flags, mode, resolve;
};

static int open_root(void)
{
    return (int)kt__syscall(SYS_openat, AT_FDCWD, "/", OPEN | O_DIRECTORY, 0);
}

int kt_open_below(int root, const char *path)
{
    const struct open_how how = {.flags = OPEN, .resolve = NO_MAGIC_LINKS | IN_ROOT};
    long fd = root;
    /* EAGAIN: a rename or a mount elsewhere came between, and the kernel cannot say whether ".." is safe. */
    for (int i = 0; i < MOST_RETRIES && root >= 0; i++) {
        fd = kt__syscall(SYS_openat2, root, path, &how, sizeof how);
        if (fd != -EAGAIN) {
            break;
        }
    }
    return (int)fd;
}

static long open_by_openat2(const char *path)
{
    int root = open_root();
    return kt__closing(root, kt_open_below(root, path));
}

/* An ordinary link of procfs leads to a name beside it, such as "self/mounts". */
static bool is_magic(int link, const char *text)
{
    struct statfs filesystem;
    return fstatfs(link, &filesystem) < 0 ||
           (filesystem.f_type == PROC_SUPER_MAGIC && (*text == '/' || strchr(text, ':')));
}

struct walk {
    int fd; /* of what was reached */
    int links;
    char rest[PATH_MAX]; /* the part of the path that is left */
};

/* Puts the text of a link before the rest of the path. Returns 1 if that begins at the root. */
static int insert_link(struct walk *walk, int link, const char *after)
{
    char text[PATH_MAX];
    long length = kt__syscall(SYS_readlinkat, link, "", text, sizeof text - 1);
    if (length < 0) {
        return (int)length;
    }
    text[length] = 0;
    size_t left = strlen(after);
    if (is_magic(link, text) || ++walk->links > MOST_LINKS) {
        return -ELOOP;
    }
    if ((size_t)length + 1 + left >= sizeof walk->rest) {
        return -ENAMETOOLONG;
    }
    memmove(walk->rest + length + 1, after, left + 1);
    memcpy(walk->rest, text, (size_t)length);
    walk->rest[length] = '/';
    return *text == '/';
}

static int enter(struct walk *walk, int next)
{
    if (next >= 0) {
        close(walk->fd);
        walk->fd = next;
    }
    return next < 0 ? next : 0;
}

/* Takes one step. The first component of the rest is `length` characters at `start`. */
static int step_into(struct walk *walk, char *start, size_t length)
{
    char *after = start + length, ended_by = *after;
    *after = 0;
    int next = (int)kt__syscall(SYS_openat, walk->fd, start, OPEN | O_NOFOLLOW, 0);
    *after = ended_by;
    if (next < 0) {
        return next;
    }
    int rc = insert_link(walk, next, after);
    if (rc == -EINVAL || rc == -ENOENT) { /* not a link */
        memmove(walk->rest, after, strlen(after) + 1);
        return enter(walk, next);
    }
    close(next);
    return rc > 0 ? enter(walk, open_root()) : rc;
}

/* For kernels without openat2 (before Linux 5.6): every link is read, and its text followed as a path. */
static long open_by_walk(const char *path)
{
    struct walk walk = {.fd = open_root()};
    if (walk.fd < 0 || strlen(path) >= sizeof walk.rest) {
        return walk.fd < 0 ? walk.fd : -ENAMETOOLONG;
    }
    strcpy(walk.rest, path);
    for (;;) {
        char *start = walk.rest + strspn(walk.rest, "/");
        int rc = *start ? step_into(&walk, start, strcspn(start, "/")) : 0;
        if (rc < 0) {
            close(walk.fd);
            return rc;
        }
        if (!*start) {
            return walk.fd;
        }
    }
}

int kt_open_in_root(const char *path)
{
    long fd = open_by_openat2(path);
    /* EPERM: filters of system calls that do not know openat2 */
    return (int)(fd == -ENOSYS || fd == -EPERM ? open_by_walk(path) : fd);
}

int kt__open_parent(const char *path, const char **name)
{
    char parent[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;
    if (length >= sizeof parent) {
        return -ENAMETOOLONG;
    }
    memcpy(parent, path, length);
    parent[length] = 0;
    *name = slash ? slash + 1 : path;
    return kt_open_in_root(length ? parent : "/");
}

/* The kernel puts "(unreachable)" before the path of a folder that is not under the root (getcwd(2)). */
static int check_working_directory(void)
{
    char path[PATH_MAX];
    long rc = kt__syscall(SYS_getcwd, path, sizeof path);
    return rc < 0 ? (int)rc : *path == '/' ? 0 : -EXDEV;
}

int kt_enter_in_root(const char *path)
{
    int fd = kt_open_in_root(path);
    int rc = kt__closing(fd, fd < 0 ? fd : kt__syscall(SYS_fchdir, fd));
    return rc < 0 ? rc : check_working_directory();
}

int kt__change_directory(const kt_step *step)
{
    if (!step->path) {
        long rc = kt__syscall(SYS_fchdir, step->fd);
        return rc < 0 || !step->flags ? (int)rc : check_working_directory();
    }
    return step->flags ? kt_enter_in_root(step->path) : (int)kt__syscall(SYS_chdir, step->path);
}
