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
    KT_STEP_SETNS,   /* fd, flags: setns(2); see `before_clone` */
    KT_STEP_UNSHARE, /* flags: unshare(2) */
    KT_STEP_FORK, /* continues in a child; the process itself supervises it: it reaps, forwards signals, and
                     ends as the child does */
    KT_STEP_HOSTNAME,   /* text */
    KT_STEP_DOMAINNAME, /* text */
    KT_STEP_LOOPBACK,   /* sets the loopback interface up */
    KT_STEP_SETSID,     /* */
    KT_STEP_TERMINAL,   /* fd: makes it the controlling terminal, after KT_STEP_SETSID */
    KT_STEP_KEYRING, /* leaves the session keyring for a new one; nothing where the program has no keyrings */
    KT_STEP_SETPGID, /* number: process group, 0 for a new one */
    KT_STEP_CHDIR,   /* path, or fd where path is NULL; flags 1: as kt_enter_in_root */
    KT_STEP_CHROOT,  /* path, or fd where path is NULL */
    KT_STEP_UMASK,   /* number */
    KT_STEP_WRITE,   /* path, text: writes text into an existing file */

    /* The kinds from KT_STEP_ATTRIBUTES to KT_STEP_SYMLINK, but KT_STEP_PIVOT, find their path as
       kt_open_in_root does. */
    KT_STEP_MOUNT,   /* source, path, type, flags, text: mount(2) */
    KT_STEP_UNMOUNT, /* path, flags: umount2(2) */
    KT_STEP_TREE,    /* path, slot: copies the mounts at path into the slot (open_tree(2), Linux 5.2); or fd,
                        slot:    a tree that the caller has taken */
    KT_STEP_FILESYSTEM, /* type; argv: options, name and value alternating, "" for no value; flags:
                           MOUNT_ATTR_*; slot */
    KT_STEP_ATTRIBUTES, /* slot, flags: sets MOUNT_ATTR_* on its whole tree (mount_setattr(2), Linux 5.12); or
                           path, flags, number: on the mount at path, and those below it if number is not 0 */
    KT_STEP_ATTACH,     /* slot, path: mounts the content of the slot at path */
    KT_STEP_PROTECT,    /* slot, path, flags: sets MOUNT_ATTR_* on what is at a path within the mount of the
                           slot,    which is attached; slot -1 for a path in the root. No file there: nothing to
                           do
                         */
    KT_STEP_MASK,    /* slot, path as above; fd, number: slots of a folder and a file, of which the one of the
                        same    kind covers the file */
    KT_STEP_PIVOT,   /* path: makes a mount the root and unmounts the old root */
    KT_STEP_MKDIR,   /* path; number: mode, whatever the umask is; an existing folder is kept */
    KT_STEP_MKFILE,  /* path; number: mode, whatever the umask is; what is there already is kept */
    KT_STEP_SYMLINK, /* path, text: what it leads to; an existing link with the same text is kept */

    KT_STEP_CLOSE, /* fd, number: closes all descriptors from fd to number; at exec when flags is not 0 */
    KT_STEP_DUP,   /* fd, number: makes number a copy of fd that stays open at exec; they may be equal */

    KT_STEP_GROUPS,             /* data, count: supplementary groups, uint32_t each */
    KT_STEP_GID,                /* number: real, effective and saved group id */
    KT_STEP_UID,                /* number: real, effective and saved user id; capabilities are kept until
                                   KT_STEP_CAPABILITIES */
    KT_STEP_BOUND_CAPABILITIES, /* flags: mask of the capabilities to keep in the bounding, inheritable and
                                   ambient sets; before the ids change, as it needs CAP_SETPCAP */
    KT_STEP_CAPABILITIES, /* flags: mask of the capabilities to keep in the other sets, and to make ambient */
    KT_STEP_NO_NEW_PRIVS, /* */
    KT_STEP_PARENT_DEATH, /* number: signal to send when the thread that made the process ends (prctl(2)); if
                             it has ended already, the process ends. A change of ids takes it back */
    KT_STEP_NOT_DUMPABLE, /* no other process may trace or read the process until it executes a program */
    KT_STEP_RLIMIT,       /* number: RLIMIT_*; data: soft and hard limit, two uint64_t */
    KT_STEP_NICE,         /* number */
    KT_STEP_CPUS,         /* data, count: mask as sched_setaffinity(2) takes it, and its size in bytes */
    KT_STEP_DEFAULT_SIGNALS, /* flags: mask of signals to set to their default action, even if they are
                                ignored */
    KT_STEP_FILTER, /* data, count: struct sock_filter each: a filter of system calls (seccomp(2)), for the
                       program; the last step but KT_STEP_EXEC */
    KT_STEP_EXEC    /* paths, argv, envp: executes the first of paths that can be executed; must be the last
                       step. envp NULL for the caller's environment */
};

/* Of KT_STEP_EXEC. LAUNCH: a small program of its own, the launcher, executes the program, so that nothing of
 * the starter is to be seen by then. INIT: as LAUNCH, and it stays as the init of the PID namespace, which
 * supervises the program. argv is then: the launcher's name, a buffer of KT_EXEC_ROOM characters, paths, and
 * the program's argv; number is how many paths there are. -ENOSYS in an engine that was
 * compiled without KT_LAUNCHER, and so without the launcher's file. */
enum { KT_EXEC_LAUNCH = 1, KT_EXEC_INIT = 2, KT_EXEC_ROOM = 128 };

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
    size_t before_clone; /* the number of steps that an intermediate process takes: it then makes the process
                            as its sibling, in the namespaces that it has entered. The step after them is
                            KT_STEP_GO. flags: as for kt_process_fork */
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
    int32_t is_init;  /* the process supervises its program */
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
 * CLONE_INTO_CGROUP are allowed; the exit signal is SIGCHLD, and the first step KT_STEP_GO. In an interpreter
 * the caller calls this between the interpreter's fork hooks. */
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

/* Sends a signal by the pidfd, so never to another process. An init stops all processes of its PID namespace
 * for SIGSTOP and SIGTSTP, and continues them for SIGCONT; other signals it sends to its program. -ESRCH: the
 * process has ended, or there is none. */
int kt_process_signal(const kt_process *process, int32_t signal);

/* Returns a copy of the pidfd, which stays open after the end was seen; close-on-exec. -ESRCH: the end was
 * seen; -ENOSYS: before Linux 5.3. */
int kt_process_pidfd(const kt_process *process);

/* Closes the descriptors. No thread may be waiting for the process. The process itself continues, and is not
 * reaped; a process that waits for kt_process_go ends. */
void kt_process_close(kt_process *process);

/* ---- Paths in a root that an enemy may have written -------------------------------------------------- */

/* Opens a file (O_PATH) in the root that the calling process is in: symbolic links are followed within the
 * root, and magic links of /proc not at all. Relative paths begin at the root. Returns a descriptor or
 * -errno; -ELOOP for a magic link. */
int kt_open_in_root(const char *path);

/* The same in a folder, given by a descriptor, that is or was such a root (Linux 5.6). */
int kt_open_below(int root, const char *path);

/* Changes to a folder that kt_open_in_root finds. -EXDEV: it does not lie under the root. */
int kt_enter_in_root(const char *path);

/* Takes a detached copy of the mounts at a path, in which files have other user and group ids
 * (MOUNT_ATTR_IDMAP, Linux 5.12): the maps of a user namespace, given by a descriptor, say which. An id
 * inside of it is one of the file system, and the id outside is what is seen. Returns a descriptor, for
 * KT_STEP_TREE, or -errno. -EPERM: it needs CAP_SYS_ADMIN in the user namespace of the file system; -EINVAL:
 * the file system cannot do it. */
int kt_tree_with_ids(const char *path, int32_t user_namespace);

/* Executes a program in place of the calling process, by the launcher: a KT_STEP_EXEC with KT_EXEC_LAUNCH.
 * A file of no format that the kernel knows is read by /bin/sh, as execvp(3) does. Returns only if the
 * launcher cannot be executed: -errno. If the program cannot be, the launcher writes its
 * name and the reason on standard error, and ends with 127 where there is no such file, else with 126. */
int kt_execute(const kt_step *step);

/* ---- Before a program is executed -------------------------------------------------------------------- */

/* Has the programs that the calling process executes keep its capabilities, whatever its user is: makes all
 * permitted ones effective, inheritable and ambient (capabilities(7)). -EPERM where securebits forbid it. */
int kt_keep_capabilities(void);

/* Returns a copy of a descriptor of another process, close-on-exec (pidfd_getfd(2), Linux 5.6). -EBADF: it
 * has none of that number; -EPERM: the caller may not trace it. */
int kt_descriptor_of(int32_t pidfd, int32_t fd);
