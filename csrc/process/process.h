/* process/: processes made by clone: the child's steps before its program, its memory, its end, and a fork
 * with clone flags. It may use thread/ (for the calling thread after a fork), libc/ and base/.
 *
 * The parent's side (kt_process, in kthreads/process.h)
 *
 *     begun --clone--> made --kt_process_go--> running --the end is seen--> status known, closed
 *       |                |                        |
 *       |                | a step fails           | kt_process_close
 *       v                v                        v
 *     failed          reaped (kt__reap)         closed: it runs on, and the engine does not reap it
 *
 *   The call that makes the child writes `pid` and `pidfd`. `status`, `pidfd` and `sleepers` change under the
 *   reaping lock (base/fork.h). Any number of threads may wait for the process, signal it and query it.
 *
 * The child's side: child_main.c executes the steps of the spec in their order. It reports the first
 * failure, or that the function begins, and then runs the function or program. Until then it makes system
 * calls only. */
#ifndef KT_PROCESS_H
#define KT_PROCESS_H

#include "base/clone.h"
#include "base/syscall.h"

#include <kthreads/kthreads.h>
#include <stdbool.h>
#include <stddef.h>

/* A report that the child sends to the parent: a failure, or one of these as its place. */
enum {
    KT_REPORT_BEGUN = 0x7fffffff, /* all steps are done, and the function begins */
    KT_REPORT_CLONED = 0x7ffffffe /* of an intermediate process: `error` is the pid of its sibling */
};

/* The data that the child uses, on its own stack. */
struct kt__child {
    kt_process_spec spec; /* a copy: the child may read it after kt_process_start has returned */
    kt_call call;         /* a copy of *spec.call */
    int channel;          /* the child's end; -1 where it reports in memory */
    int starter;          /* a pidfd of the thread that makes it, for KT_STEP_PARENT_DEATH; -1 for none */
    int parent_end;       /* the child closes it; -1 where the descriptor table is shared */
    kt__signals mask;     /* the child restores it before the program begins */
    bool reset_signals;
    int32_t *tid; /* the tid in libc's descriptor of the child; NULL where that is unknown or its parent's */
    int slots[KT_SLOTS];
    bool launcher_is_made;
    int launcher, filter; /* the sealed files for kt__launch; the filter is -1 where there is none */
    kt_failure report;    /* the child's report; without a channel its suspended parent reads it here */
};

/* record.c */

/* Initialises the record of a process that is not made yet. */
void kt__process_init(kt_process *process);

/* Fills in the record of a process that was made, and writes its identity maps. Returns 0, or -errno after
 * the process was ended. */
int kt__process_made(kt_process *process, int32_t pid, const kt_process_spec *spec, kt_failure *failure);

int kt__fail(kt_failure *failure, int32_t place, int rc); /* fills in *failure and returns rc */

/* process.c */

/* Opens a channel. Neither end is a descriptor that a step replaces. */
int kt__channel_open(int ends[2], const kt_process_spec *spec);

/* Opens a pidfd of the calling thread, or of its process before Linux 6.9, for a child that asks for a signal
 * at its death. -1 in *starter for a child that does not, and before Linux 5.3. */
int kt__starter_open(int *starter, const kt_process_spec *spec);

/* The tid of the calling thread in libc's descriptor; NULL where its offset is unknown. */
int32_t *kt__own_tid_word(void);

/* intermediate.c */

/* Whether an intermediate process can make it. */
bool kt__valid_sibling(const kt_process_spec *spec);

/* Called by an intermediate process, with all signals blocked. Returns in its sibling. */
void kt__become_sibling(struct kt__child *child);

/* Called by the starter: reaps the intermediate process, and returns the pid of its sibling or -errno. */
int kt__receive_sibling(kt_process *process, int32_t intermediate, kt_failure *failure);

/* reap.c */

/* Closes the channel between parent and child, and gives the memory back as soon as the child has left it. */
void kt__process_release(kt_process *process);
void kt__reap(kt_process *process); /* after a failure: waits for the child's end and closes everything */

/* child.c and child_main.c: what a child does, with system calls only. */

/* Stores the tid of a process that has just been cloned in libc's descriptor. */
void kt__child_store_tid(const struct kt__child *child);

/* Executes some steps. When one fails it reports the failure and ends the process. */
void kt__take_steps(struct kt__child *child, size_t from, size_t to);

/* Executes all steps but those of the intermediate process. */
void kt__child_prepare(struct kt__child *child);

/* Everything that a child does that runs no Python. Never returns. */
void kt__child_main(struct kt__child *child);

void kt__report(struct kt__child *child, int32_t place, int32_t error);
_Noreturn void kt__exit(int status);

/* child_steps.c, mounts.c, credentials.c, init_process.c: each executes one step and returns 0 or -errno. */

int kt__run_step(struct kt__child *child, const kt_step *step);
int kt__step_mount(struct kt__child *child, const kt_step *step); /* mounts.c; -EINVAL for any other step */
int kt__step_kernel_file(const struct kt__child *child, const kt_step *step); /* kernel_files.c */
int kt__step_identity(const kt_step *step); /* credentials.c; -EINVAL for any other step */

/* init_process.c: forks, and returns 0 in the child. The process that forked supervises it and never
 * returns. */
int kt__fork_and_supervise(struct kt__child *child);

/* root_path.c: paths in a root that an enemy may have written; see kt_open_in_root. */

/* Opens the folder in which a path is, and returns the last component in *name. */
int kt__open_parent(const char *path, const char **name);
int kt__change_directory(const kt_step *step);

/* launch.c: executes a program by the launcher. Returns -errno. */
int kt__launch(struct kt__child *child, const kt_step *step);

/* Makes the files that kt__launch uses, if the program is executed by it: before limits forbid it. */
int kt__prepare_launch(struct kt__child *child);

/* Writes a text into an existing file. */
int kt__write_file(const char *path, const char *text);

/* child_memory.c: stack, TLS and end word of a child that shares the parent's memory. */

struct kt_process_memory;

/* With a routine the child has its own TLS, and libc starts it with routine(child). Otherwise the child calls
 * stack->entry(child). Copies *child and fills in the rest of *stack. */
int kt__process_memory_take(struct kt_process_memory **memory, const struct kt__child *child,
                            void *(*routine)(void *), struct kt__clone *stack);
kt__word *kt__process_memory_word(struct kt_process_memory *memory); /* for CLONE_CHILD_CLEARTID */
struct kt__child *kt__process_memory_child(struct kt_process_memory *memory);

/* Marks memory with which no child was made. */
void kt__process_memory_unused(struct kt_process_memory *memory);

/* Recycles the memory as soon as the child has left it. */
void kt__process_memory_give(struct kt_process_memory *memory);

#endif
