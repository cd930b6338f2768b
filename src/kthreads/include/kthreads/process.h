/* Processes by clone(2): pure declarations, which kthreads.h includes after api.h and cffi reads without
 * preprocessing.
 *
 * A process is made by clone with any flags but CLONE_THREAD. It executes a list of steps, each a system call
 * or two whose arguments were prepared before, and then executes a program or calls a native function. The
 * caller decides on the steps and their order. A step that fails ends the child, and is reported by its index
 * and errno value. */

/* ---- Steps between clone and the program ------------------------------------------------------------ */

/* Each kind uses the fields of kt_step that its comment names. */
enum kt_step_kind {
    KT_STEP_GO = 1,  /* waits until kt_process_go is called */
    KT_STEP_SETNS,   /* fd, flags: setns(2) */
    KT_STEP_UNSHARE, /* flags: unshare(2) */
    KT_STEP_FORK, /* continues in a child; the process itself supervises it: it reaps, forwards signals, and
                     ends as the child does */
    KT_STEP_HOSTNAME,   /* text */
    KT_STEP_DOMAINNAME, /* text */
    KT_STEP_LOOPBACK,   /* sets the loopback interface up */
    KT_STEP_SETSID,     /* */
    KT_STEP_SETPGID,    /* number: process group, 0 for a new one */
    KT_STEP_CHDIR,      /* path, or fd where path is NULL */
    KT_STEP_CHROOT,     /* path, or fd where path is NULL */
    KT_STEP_UMASK,      /* number */
    KT_STEP_WRITE,      /* path, text: writes text into an existing file */

    KT_STEP_MOUNT,      /* source, path, type, flags, text: mount(2) */
    KT_STEP_UNMOUNT,    /* path, flags: umount2(2) */
    KT_STEP_TREE,       /* path, slot: copies the mounts at path into the slot (open_tree(2), Linux 5.2) */
    KT_STEP_FILESYSTEM, /* type; argv: options, name and value alternating, "" for no value; flags:
                           MOUNT_ATTR_*; slot */
    KT_STEP_ATTRIBUTES, /* slot, flags: sets MOUNT_ATTR_* on its whole tree (mount_setattr(2), Linux 5.12); or
                           path, flags: on the one mount at path */
    KT_STEP_ATTACH,     /* slot, path: mounts the content of the slot at path */
    KT_STEP_PIVOT,      /* path: makes a mount the root and unmounts the old root */
    KT_STEP_MKDIR,      /* path; number: mode; an existing one is kept */
    KT_STEP_MKFILE,     /* path; number: mode; an existing one is kept */
    KT_STEP_SYMLINK,    /* path, text: the target */

    KT_STEP_CLOSE, /* fd, number: closes all descriptors from fd to number; at exec when flags is not 0 */
    KT_STEP_DUP,   /* fd, number: makes number a copy of fd that stays open at exec; they may be equal */

    KT_STEP_GROUPS,       /* data, count: supplementary groups, uint32_t each */
    KT_STEP_GID,          /* number: real, effective and saved group id */
    KT_STEP_UID,          /* number: real, effective and saved user id; capabilities are kept until
                             KT_STEP_CAPABILITIES */
    KT_STEP_CAPABILITIES, /* flags: mask of the capabilities to keep in all sets, including ambient and
                             bounding */
    KT_STEP_NO_NEW_PRIVS, /* */
    KT_STEP_PARENT_DEATH, /* number: signal to send when the thread that made the process ends (prctl(2)) */
    KT_STEP_NOT_DUMPABLE, /* no other process may trace or read the process until it executes a program */
    KT_STEP_RLIMIT,       /* number: RLIMIT_*; data: soft and hard limit, two uint64_t */
    KT_STEP_NICE,         /* number */
    KT_STEP_CPUS,         /* data, count: mask as sched_setaffinity(2) takes it, and its size in bytes */
    KT_STEP_DEFAULT_SIGNALS, /* flags: mask of signals to set to their default action, even if they are
                                ignored */
    KT_STEP_EXEC /* paths, argv, envp: executes the first of paths that can be executed; must be the last
                    step. envp NULL for the caller's environment */
};

enum { KT_SLOTS = 64 }; /* the slots of a child, each for a tree or file system */

typedef struct kt_step {
    int32_t kind; /* enum kt_step_kind */
    int32_t fd;
    int32_t slot;
    uint32_t count;
    int64_t number;
    uint64_t flags;
    const char *path, *source, *type, *text;
    const void *data;
    char *const *paths, *const *argv, *const *envp; /* each ends with NULL */
} kt_step;

/* ---- Processes -------------------------------------------------------------------------------------- */

/* All zero makes a copy of the caller that ends at once. What the fields point to is read until kt_process_go
 * has returned. */
typedef struct kt_process_spec {
    uint64_t flags;         /* of clone3(2), but not THREAD, DETACHED, SETTLS, PIDFD and the four for ids */
    int32_t exit_signal;    /* the signal to the parent at the end; 0 for none */
    int32_t cgroup;         /* with CLONE_INTO_CGROUP: a descriptor of the cgroup's folder */
    size_t stack_size;      /* with CLONE_VM; 0 for KT_STACK_DEFAULT */
    const int32_t *set_tid; /* the pids, innermost PID namespace first; NULL lets the kernel choose */
    size_t set_tid_count;
    const char *setgroups, *uid_map,
        *gid_map; /* texts that the parent writes into these files of the child; NULL for none */
    const kt_step *steps;
    size_t step_count;
    const kt_call
        *call; /* the function to call without KT_STEP_EXEC; the low byte of its result is the exit status */
} kt_process_spec;

struct kt_process_memory;

/* Values of kt_process.status. NONE: the end was not seen yet. LOST: the process has ended, but its status
 * went to another wait, to no process (SIGCHLD is ignored), or, with CLONE_PARENT, to the caller's parent. */
enum { KT_STATUS_NONE = -1, KT_STATUS_LOST = -2 };

/* Filled in step by step, so that a cleanup after an interruption at any point finds here what was made. */
typedef struct kt_process {
    int32_t pid;    /* -1 while there is no process */
    int32_t pidfd;  /* close-on-exec, owned by this struct; -1 before Linux 5.3, and after the end was seen */
    int32_t status; /* after the end was seen: as from wait(2), or KT_STATUS_LOST */

    /* For the engine's use. */
    int32_t sleepers; /* number of threads that sleep on the pidfd */
    int32_t channel, child_end;
    uint64_t flags;
    struct kt_process_memory *memory;
} kt_process;

/* The place of a failure before the program began: the index of a step, or one of these. */
enum kt_place {
    KT_AT_CLONE = -1,
    KT_AT_SETGROUPS = -2,
    KT_AT_UID_MAP = -3,
    KT_AT_GID_MAP = -4,
    KT_AT_FORK = -5,   /* kt_process_fork: libc's fork */
    KT_AT_CHANNEL = -6 /* the socket pair over which the child reports */
};

typedef struct kt_failure {
    int32_t place; /* index of a step, or enum kt_place */
    int32_t error; /* positive errno value */
} kt_failure;

/* Makes a process and writes its identity maps. The process runs up to KT_STEP_GO, if there is one; the
 * caller must call kt_process_go next. On failure *failure is filled in and nothing is left over. -EINVAL: a
 * bad spec; -ENOSYS: the flags need clone3, which this kernel or sandbox refuses; -ENOTSUP: CLONE_VM where
 * the self-check of libc has failed; other errors as clone(2). */
int kt_process_start(kt_process *process, const kt_process_spec *spec, kt_failure *failure);

/* As kt_process_start, but by libc's fork, so that the child may do all that a child of fork(2) may. Returns
 * KT_IN_CHILD in the child once the steps are done. Of the flags only namespaces, CLONE_CLEAR_SIGHAND and
 * CLONE_INTO_CGROUP are allowed; the exit signal is SIGCHLD. In an interpreter the caller calls this between
 * the interpreter's fork hooks. */
int kt_process_fork(kt_process *process, const kt_process_spec *spec, kt_failure *failure);

enum { KT_IN_CHILD = 1 };

/* Lets the child continue, and returns 0 when its program or function has begun. -EINTR: call again. Any
 * other error is the one that ended the child, with its place in *failure; the child has been reaped. */
int kt_process_go(kt_process *process, kt_failure *failure);

/* Waits for the end of the process, reaps it, stores its status and closes its descriptors. Any number of
 * threads may wait, any number of times; later calls return the stored status. `status` may be NULL.
 * -ETIMEDOUT, -EINTR. -ECHILD: the process has ended, but its status went elsewhere (KT_STATUS_LOST); *status
 * is 0. */
int kt_process_wait(kt_process *process, int64_t timeout_ns, int32_t *status);

/* Sends a signal by the pidfd, so never to another process. -ESRCH: the process has ended, or there is
 * none. */
int kt_process_signal(const kt_process *process, int32_t signal);

/* Returns a copy of the pidfd, which stays open after the end was seen; close-on-exec. -ESRCH: the end was
 * seen; -ENOSYS: before Linux 5.3. */
int kt_process_pidfd(const kt_process *process);

/* Closes the descriptors. No thread may be waiting for the process. The process itself continues, and is not
 * reaped; a process that waits for kt_process_go ends. */
void kt_process_close(kt_process *process);
