/* Processes by clone(2): pure declarations, included by kthreads.h after api.h and read as they stand by
 * cffi.
 *
 * A process is made by clone with any flags but CLONE_THREAD, takes a list of steps, each of them a system
 * call or two with arguments that were prepared before, and then executes a program or runs a native
 * function. Which steps in which order is the caller's policy. A step that fails ends the child, and comes
 * back as its index and errno value. */

/* ---- Steps between clone and the program ------------------------------------------------------------ */

/* Each uses the fields of kt_step that are named with it; `path` where a path is meant. */
enum kt_step_kind {
    KT_STEP_GO = 1,  /* waits until kt_process_go is called */
    KT_STEP_SETNS,   /* fd; flags: setns(2) */
    KT_STEP_UNSHARE, /* flags: unshare(2) */
    KT_STEP_FORK, /* goes on in a child; the process itself reaps, passes signals on, and ends like that child
                   */
    KT_STEP_HOSTNAME,   /* text */
    KT_STEP_DOMAINNAME, /* text */
    KT_STEP_LOOPBACK,   /* brings the loopback interface up */
    KT_STEP_SETSID,     /* */
    KT_STEP_SETPGID,    /* number: process group, 0 for one of its own */
    KT_STEP_CHDIR,      /* path, or fd where path is NULL */
    KT_STEP_CHROOT,     /* path, or fd where path is NULL */
    KT_STEP_UMASK,      /* number */
    KT_STEP_WRITE,      /* path; text: into a file that exists */

    KT_STEP_MOUNT,      /* source, path, type, flags, text: mount(2) */
    KT_STEP_UNMOUNT,    /* path; flags: umount2(2) */
    KT_STEP_TREE,       /* path; slot: takes a copy of the mounts at path (open_tree(2), Linux 5.2) */
    KT_STEP_FILESYSTEM, /* type; argv: options, name and value by turns, "" for none; flags: MOUNT_ATTR_*;
                           slot */
    KT_STEP_ATTRIBUTES, /* slot; flags: MOUNT_ATTR_* to set on its whole tree (mount_setattr(2), Linux 5.12);
                           or path: on the one mount there */
    KT_STEP_ATTACH,     /* slot; path: mounts what the slot holds there */
    KT_STEP_PIVOT,      /* path: makes a mount the root and lets go of the old one */
    KT_STEP_MKDIR,      /* path; number: mode. One that exists is kept */
    KT_STEP_MKFILE,     /* path; number: mode. One that exists is kept */
    KT_STEP_SYMLINK,    /* path; text: where it leads */

    KT_STEP_CLOSE, /* fd, number: closes all descriptors from fd to number, at exec where flags is not 0 */
    KT_STEP_DUP,   /* fd, number: number becomes fd's copy and stays open at exec; they may be the same */

    KT_STEP_GROUPS,          /* data, count: supplementary groups, uint32_t each */
    KT_STEP_GID,             /* number: real, effective and saved */
    KT_STEP_UID,             /* number: likewise; capabilities are kept until KT_STEP_CAPABILITIES */
    KT_STEP_CAPABILITIES,    /* flags: the mask of those kept in all sets, ambient and bounding included */
    KT_STEP_NO_NEW_PRIVS,    /* */
    KT_STEP_PARENT_DEATH,    /* number: signal when the thread that made the process ends (prctl(2)) */
    KT_STEP_NOT_DUMPABLE,    /* nobody traces or reads the process until it executes a program */
    KT_STEP_RLIMIT,          /* number: RLIMIT_*; data: soft and hard, two uint64_t */
    KT_STEP_NICE,            /* number */
    KT_STEP_CPUS,            /* data, count: mask as sched_setaffinity(2) takes it, and its bytes */
    KT_STEP_DEFAULT_SIGNALS, /* flags: mask of signals that get their default action, even where ignored */
    KT_STEP_EXEC /* paths, argv, envp: the first of paths that can be executed; the last step. NULL for
                    the caller's own environment */
};

enum { KT_SLOTS = 64 }; /* trees and file systems that one child can hold */

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

/* ---- A process -------------------------------------------------------------------------------------- */

/* All zero is a copy of the caller that ends at once. What it points to is read until kt_process_go has
 * returned. */
typedef struct kt_process_spec {
    uint64_t flags;      /* of clone3(2), but THREAD, DETACHED, SETTLS, PIDFD and the four for ids */
    int32_t exit_signal; /* sent to the parent at the end; 0 for none */
    int32_t cgroup;      /* with CLONE_INTO_CGROUP: a descriptor of its folder */
    size_t stack_size;   /* with CLONE_VM; 0 for KT_STACK_DEFAULT */
    const int32_t
        *set_tid; /* pids to have, in the innermost PID namespace first; NULL to let the kernel choose */
    size_t set_tid_count;
    const char *setgroups, *uid_map,
        *gid_map; /* what the parent writes into these files of the child; NULL for none */
    const kt_step *steps;
    size_t step_count;
    const kt_call
        *call; /* what runs where no step is KT_STEP_EXEC; its result's low byte is the exit status */
} kt_process_spec;

struct kt_process_memory;

/* kt_process.status of one whose end was not seen, and of one that has ended while its status went to another
 * wait, to nobody (SIGCHLD is ignored), or, with CLONE_PARENT, to our parent. */
enum { KT_STATUS_NONE = -1, KT_STATUS_LOST = -2 };

/* Filled in as far as things are made, so that who cleans up after whatever comes between finds them here. */
typedef struct kt_process {
    int32_t pid;    /* -1 as long as there is no process */
    int32_t pidfd;  /* close-on-exec, owned by this struct; -1 before Linux 5.3, and once the end was seen */
    int32_t status; /* once the end was seen: as wait(2) gives it, or KT_STATUS_LOST */

    /* The engine's own. */
    int32_t sleepers; /* how many threads sleep on the pidfd */
    int32_t channel, child_end;
    uint64_t flags;
    struct kt_process_memory *memory;
} kt_process;

/* Where something failed before the program began: a step, or one of these. */
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

/* Makes a process and writes its maps. It runs up to KT_STEP_GO, if there is one; kt_process_go must follow.
 * -EINVAL: a bad spec; -ENOSYS: the flags need clone3, which this kernel or sandbox refuses; -ENOTSUP:
 * CLONE_VM on a libc that is not understood; else as clone(2), with *failure filled in and nothing left
 * behind. */
int kt_process_start(kt_process *process, const kt_process_spec *spec, kt_failure *failure);

/* The same by libc's fork, so that a child may do all that one of fork(2) may: it returns KT_IN_CHILD there
 * once the steps are done. Only namespaces, CLONE_CLEAR_SIGHAND and CLONE_INTO_CGROUP may be asked for; the
 * exit signal is SIGCHLD. To be called between the hooks of an interpreter, if there is one. */
int kt_process_fork(kt_process *process, const kt_process_spec *spec, kt_failure *failure);

enum { KT_IN_CHILD = 1 };

/* Lets the child go on, and returns when its program or function has begun: 0. -EINTR: call again. Else the
 * error that ended the child, with its place; the child has been reaped. */
int kt_process_go(kt_process *process, kt_failure *failure);

/* Waits until the process has ended, reaps it, keeps its status and closes its descriptors. From any number
 * of threads, and again: what was seen once is known. `status` may be NULL.
 * -ETIMEDOUT, -EINTR. -ECHILD: it has ended, but its status went elsewhere (KT_STATUS_LOST); *status is 0. */
int kt_process_wait(kt_process *process, int64_t timeout_ns, int32_t *status);

/* Sends a signal by the pidfd, so never to another process. -ESRCH: it has ended, or there is none. */
int kt_process_signal(const kt_process *process, int32_t signal);

/* A copy of the pidfd, which stays open when the end was seen; close-on-exec. -ESRCH: the end was seen;
 * -ENOSYS: before Linux 5.3. */
int kt_process_pidfd(const kt_process *process);

/* Closes the descriptors; nobody may be waiting. The process itself goes on, and is not reaped; one that
 * waits for kt_process_go ends. */
void kt_process_close(kt_process *process);
