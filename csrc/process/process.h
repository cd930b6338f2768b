/* process/: processes by clone: the child's steps before its program, its memory, its end, and a fork with
 * flags of clone. It may use thread/ (for the calling thread after a fork), libc/ and base/.
 *
 * The parent's side (kt_process, in kthreads/process.h)
 *
 *     begun --clone--> made --kt_process_go--> running --the end is seen--> status known, closed
 *       |                |                        |
 *       |                | a step fails           | kt_process_close
 *       v                v                        v
 *     failed          reaped (kt__reap)         let go: it runs on, and nobody reaps it here
 *
 *   `pid` and `pidfd` are written by the call that makes the child; `status`, `pidfd` and `sleepers` change
 * under the reaping lock (base/fork.h). Any number of threads may wait, send signals and look.
 *
 * The child's side: child_main.c takes the steps of its spec in their order, reports the first failure or
 * that it has begun, and runs its function or program. Until then it makes system calls only. */
#ifndef KT_PROCESS_H
#define KT_PROCESS_H

#include "base/clone.h"
#include "base/syscall.h"

#include <kthreads/kthreads.h>
#include <stdbool.h>
#include <stddef.h>

/* What travels over the channel from child to parent: a failure, or one of these in its place. */
enum {
    KT_SAYS_BEGUN = 0x7fffffff, /* all steps are done, and the function begins */
    KT_SAYS_CLONED = 0x7ffffffe /* from the forked child in between: `error` is the pid of the child */
};

/* The child's own view of itself, on its own stack. */
struct kt__child {
    kt_process_spec spec; /* a copy: the child reads it when kt_process_start has returned */
    kt_call call;         /* likewise, of spec.call */
    int channel;          /* its end; -1 where it reports in memory */
    int parent_end;       /* to be closed; -1 where the descriptor table is shared */
    kt__signals mask;     /* to be restored before the program begins */
    bool reset_signals;
    int32_t *tid; /* where libc keeps the tid of the child; NULL where that is not known or its parent's */
    int slots[KT_SLOTS];
    kt_failure report; /* without a channel: what the child says, to a parent that is suspended meanwhile */
};

/* ---- process.c -------------------------------------------------------------------------------------- */

/* The two ends of a new channel, neither a descriptor that a step puts something at. */
int kt__channel_open(int ends[2], const kt_process_spec *spec);

/* Writes the maps of a child that waits for them. */
int kt__write_maps(int32_t pid, const kt_process_spec *spec, kt_failure *failure);

/* As long as nothing is made. */
void kt__process_begin(kt_process *process);

/* A pidfd by pidfd_open(2), or -1. */
int kt__pidfd_of(int32_t pid);

/* Where libc keeps the calling thread's tid; NULL where its descriptor is not understood. */
int32_t *kt__own_tid_word(void);

int kt__fail(kt_failure *failure, int32_t place, int rc); /* fills it in and returns rc */

/* ---- reap.c ----------------------------------------------------------------------------------------- */

/* Closes the channel between parent and child, and gives the memory back as soon as the child has left it. */
void kt__part(kt_process *process);
void kt__reap(kt_process *process); /* a child that has failed: waits, closes all */

/* ---- child.c: what a child does; only system calls -------------------------------------------------- */

/* Tells libc's descriptor of a process that has just been cloned its tid. */
void kt__child_is_new(const struct kt__child *child);

/* Takes all steps: 0, or the child has reported the failure and ended. */
void kt__child_prepare(struct kt__child *child);

/* The whole life of a child that runs no Python. Never returns. */
void kt__child_main(struct kt__child *child);

void kt__say(struct kt__child *child, int32_t place, int32_t error);
_Noreturn void kt__exit(int status);

/* ---- child_steps.c and its neighbours: one step; 0 or -errno
 * ----------------------------------------------- */

int kt__take_step(struct kt__child *child, const kt_step *step);
int kt__step_mount(struct kt__child *child, const kt_step *step); /* mounts.c; -ENOSYS for a step of others */
int kt__step_identity(const kt_step *step);                       /* credentials.c; likewise */

/* init_process.c: forks; 0 in the child. The process that forked never returns. */
int kt__stand_by(struct kt__child *child);

/* Writes a text into a file that exists. */
int kt__write_file(const char *path, const char *text);

/* ---- child_memory.c: stack, TLS and end word of a child that shares our memory ----------------------------
 */

struct kt_process_memory;

/* With a routine the child has TLS of its own and libc starts it with routine(child); else stack->entry is
 * called so. *child is copied; the rest of *stack is filled in. */
int kt__process_memory_take(struct kt_process_memory **memory, const struct kt__child *child,
                            void *(*routine)(void *), struct kt__clone *stack);
kt__word *kt__process_memory_word(struct kt_process_memory *memory); /* for CLONE_CHILD_CLEARTID */
struct kt__child *kt__process_memory_child(struct kt_process_memory *memory);
void kt__process_memory_unused(struct kt_process_memory *memory); /* no child was made */
void kt__process_memory_give(
    struct kt_process_memory *memory); /* recycled as soon as the child has left it */

#endif
