/* Starts a thread: checks the spec and, before the first thread, libc. */
#define _GNU_SOURCE
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
           (spec->cpus_size == 0 || spec->cpus) && call->kind >= KT_RESULT_NONE &&
           call->kind <= KT_RESULT_FLOAT;
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
    return rc < 0 ? rc : kt__start(thread, spec, call);
}
