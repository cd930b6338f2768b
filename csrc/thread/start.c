/* Starts a thread: checks the spec and, before the first thread, libc. */
#define _GNU_SOURCE
#include "libc/descriptor.h"
#include "thread/thread.h"

#include <errno.h>
#include <sched.h>

static bool valid(const kt_spec *spec, const kt_call *call)
{
    return call->function && !(spec->flags & ~(KT_SHAREABLE | KT_NAMESPACES)) &&
           !(spec->flags & CLONE_NEWNS && spec->flags & CLONE_FS) &&
           !(spec->flags & CLONE_NEWIPC && spec->flags & CLONE_SYSVSEM) &&
           spec->backend >= KT_BACKEND_CLONE && spec->backend <= KT_BACKEND_BARE_WITHOUT_LIBC &&
           (spec->stack_size == 0 || spec->stack_size >= KT_STACK_MINIMUM) &&
           !(spec->stack && (!spec->stack_size || spec->options & KT_OPTION_ALTSTACK)) &&
           spec->guard_size <= SIZE_MAX / 4 && (spec->cpus_size == 0 || spec->cpus) &&
           call->kind >= KT_RESULT_NONE && call->kind <= KT_RESULT_FLOAT;
}

/* Whether a stack of the caller has room for libc's data and for a few frames. */
static bool has_room(const kt_spec *spec)
{
    enum { FRAMES = 8192 };
    return !spec->stack || spec->backend == KT_BACKEND_BARE_WITHOUT_LIBC ||
           spec->stack_size >= kt__descriptor_room(&kt__libc) + FRAMES;
}

int kt_thread_start(kt_thread **thread, const kt_spec *spec, const kt_call *call)
{
    if (thread) {
        *thread = NULL;
    }
    if (!thread || !spec || !call || !valid(spec, call)) {
        return -EINVAL;
    }
    int rc = kt__ready();
    if (rc == -ENOTSUP || (rc == 0 && KT_THREAD_SANITIZER)) {
        rc = spec->backend == KT_BACKEND_PTHREAD ? 0 : -ENOTSUP;
    }
    if (rc == 0 && !has_room(spec)) {
        rc = -EINVAL;
    }
    return rc < 0 ? rc : kt__start(thread, spec, call);
}

int kt_thread_start_routine(kt_thread **thread, const kt_spec *spec, kt_routine routine, void *argument)
{
    kt_call call = {.function = (kt_function)(uintptr_t)routine,
                    .integers = {(uint64_t)(uintptr_t)argument},
                    .kind = KT_RESULT_INTEGER};
    return kt_thread_start(thread, spec, &call);
}
