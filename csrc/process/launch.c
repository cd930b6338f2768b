/* Executes a program by way of the launcher (launcher/launcher.h). */
#define _GNU_SOURCE
#include "process/process.h"
#include "launcher/launcher.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <string.h>

#ifdef KT_LAUNCHER
/* The launcher's file, made by the build. */
extern const unsigned char kt__launcher_image[];
extern const unsigned long kt__launcher_image_size;
#else
/* The program has compiled the engine's files by itself. */
static const unsigned char kt__launcher_image[1];
static const unsigned long kt__launcher_image_size = 0;
#endif

enum { MEMFD_CLOSE_ON_EXEC = 1, MEMFD_ALLOW_SEALING = 2, MEMFD_EXECUTABLE = 0x10 /* Linux 6.3 */ };
enum { ALL_SEALS = 0xf, EMPTY_PATH = 0x1000, ADD_SEALS = 1033 /* F_ADD_SEALS */ };

static int write_all(int fd, const void *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        long n = kt__syscall(SYS_write, fd, (const char *)data + done, size - done);
        if (n < 0) {
            return (int)n;
        }
        done += (size_t)n;
    }
    return 0;
}

/* A file in memory that cannot change any more. Returns a descriptor or -errno. */
static int sealed_file(const char *name, const void *data, size_t size)
{
    unsigned flags = MEMFD_CLOSE_ON_EXEC | MEMFD_ALLOW_SEALING;
    int fd = (int)kt__syscall(SYS_memfd_create, name, flags | MEMFD_EXECUTABLE);
    fd = fd == -EINVAL ? (int)kt__syscall(SYS_memfd_create, name, flags) : fd;
    if (fd < 0) {
        return fd;
    }
    long rc = write_all(fd, data, size);
    rc = rc < 0 ? rc : kt__syscall(SYS_fcntl, fd, ADD_SEALS, ALL_SEALS);
    if (rc < 0) {
        close(fd);
    }
    return rc < 0 ? (int)rc : fd;
}

/* Leaves a descriptor open at exec, and returns 1 + its number. */
static uint64_t passed_on(int fd)
{
    (void)kt__syscall(SYS_fcntl, fd, F_SETFD, 0);
    return (uint64_t)fd + 1;
}

_Static_assert(17 * KT_LAUNCH_OPTIONS + 1 <= KT_EXEC_ROOM, "the options have room");

static void write_options(char *text, const uint64_t options[KT_LAUNCH_OPTIONS])
{
    for (int i = 0; i < KT_LAUNCH_OPTIONS; i++) {
        for (int shift = 60; shift >= 0; shift -= 4) {
            *text++ = "0123456789abcdef"[options[i] >> shift & 0xf];
        }
        *text++ = ' ';
    }
    *text = 0;
}

/* A step that the launcher takes in the child's place. */
static const kt_step *filter_of(const kt_process_spec *spec)
{
    for (size_t i = 0; i < spec->step_count; i++) {
        if (spec->steps[i].kind == KT_STEP_FILTER) {
            return &spec->steps[i];
        }
    }
    return NULL;
}

static int make_files(struct kt__child *child, const char *name)
{
    if (!kt__launcher_image_size) {
        return -ENOSYS;
    }
    const kt_step *filter = filter_of(&child->spec);
    child->filter = -1;
    if (filter) {
        child->filter = sealed_file("filter", filter->data, filter->count * sizeof(struct sock_filter));
        if (child->filter < 0) {
            return child->filter;
        }
    }
    child->launcher = sealed_file(name, kt__launcher_image, kt__launcher_image_size);
    child->launcher_is_made = child->launcher >= 0;
    return child->launcher < 0 ? child->launcher : 0;
}

int kt__prepare_launch(struct kt__child *child)
{
    const kt_step *last = child->spec.steps + child->spec.step_count - 1;
    bool launches = last->kind == KT_STEP_EXEC && last->flags;
    return launches && !child->launcher_is_made ? make_files(child, last->argv[0]) : 0;
}

int kt__launch(struct kt__child *child, const kt_step *step)
{
    int rc = kt__prepare_launch(child);
    if (rc < 0) {
        return rc;
    }
    const uint64_t options[KT_LAUNCH_OPTIONS] = {
        [KT_LAUNCH_INIT] = step->flags & KT_EXEC_INIT ? 1 : 0,
        [KT_LAUNCH_CHANNEL] = child->channel < 0 ? 0 : passed_on(child->channel),
        [KT_LAUNCH_PLACE] = (uint64_t)(step - child->spec.steps),
        [KT_LAUNCH_FILTER] = child->filter < 0 ? 0 : passed_on(child->filter),
        [KT_LAUNCH_MASK] = child->mask,
        [KT_LAUNCH_PATHS] = (uint64_t)step->number,
    };
    write_options(step->argv[1], options);
    return (int)kt__syscall(SYS_execveat, child->launcher, "", step->argv, step->envp ? step->envp : environ,
                            EMPTY_PATH);
}

int kt_execute(const kt_step *step)
{
    struct kt__child self = {
        .spec = {.steps = step, .step_count = 1}, .channel = -1, .mask = kt__blocked_signals()};
    return step->kind == KT_STEP_EXEC && step->flags == KT_EXEC_LAUNCH ? kt__launch(&self, step) : -EINVAL;
}
