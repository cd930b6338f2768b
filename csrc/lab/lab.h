/* lab/: a laboratory of clone(2): children that execute a list of steps, most of them system calls, and store
 * the result of each. It may use base/. cffi reads this file after api.h; it is compiled into the extension
 * alone.
 *
 * A child may share or lack anything, TLS included, so it uses nothing of libc. Steps, children, stacks and
 * all memory that they point to lie in one MAP_SHARED mapping. So the creator can read the results, whatever
 * it does not share with the child. */

enum kt_lab_call {
    /* Memory. STORE and LOAD: argument 0 is the address of a 64-bit word, argument 1 the value to store. */
    KT_LAB_STORE = 0,
    KT_LAB_LOAD = 1,
    KT_LAB_THREAD_POINTER = 2,
    /* AWAIT: waits until the 32-bit word at argument 0 equals argument 1; -ETIMEDOUT after argument 2
     * nanoseconds. TELL: stores argument 1 in that word and wakes its waiters. */
    KT_LAB_AWAIT = 3,
    KT_LAB_TELL = 4,
    KT_LAB_CLONE = 5, /* argument 0 is a kt_lab_child */
    KT_LAB_REAP = 6,  /* waits for all children, whatever their exit signal; the result is their number */
    /* System calls, with their own names and arguments. */
    KT_LAB_EXIT = 7,
    KT_LAB_EXIT_GROUP,
    KT_LAB_GETPID,
    KT_LAB_GETPPID,
    KT_LAB_GETTID,
    KT_LAB_GETUID,
    KT_LAB_SETRESUID,
    KT_LAB_SETRESGID,
    KT_LAB_CHDIR,
    KT_LAB_GETCWD,
    KT_LAB_OPENAT,
    KT_LAB_CLOSE,
    KT_LAB_READ,
    KT_LAB_WRITE,
    KT_LAB_FCNTL,
    KT_LAB_READLINKAT,
    KT_LAB_MOUNT,
    KT_LAB_UNAME,
    KT_LAB_SETHOSTNAME,
    KT_LAB_SOCKET,
    KT_LAB_IOCTL,
    KT_LAB_SEMGET,
    KT_LAB_SEMOP,
    KT_LAB_SEMCTL,
    KT_LAB_RT_SIGACTION,
    KT_LAB_RT_SIGTIMEDWAIT,
    KT_LAB_KILL,
    KT_LAB_WAIT4,
    KT_LAB_PRCTL,
    KT_LAB_CAPSET,
    KT_LAB_IOPRIO_GET,
    KT_LAB_IOPRIO_SET,
    KT_LAB_CLOCK_GETTIME,
    KT_LAB_UNSHARE,
    KT_LAB_SETNS,
    KT_LAB_PIDFD_OPEN,
    KT_LAB_PIDFD_SEND_SIGNAL,
    KT_LAB_CALLS
};

typedef struct kt_lab_step {
    int32_t call;      /* enum kt_lab_call */
    uint32_t indirect; /* bit i: argument i is the address of a 64-bit word that holds the value */
    uint64_t arguments[6];
    int64_t result; /* a negative errno value for failure */
} kt_lab_step;

/* What KT_LAB_CLONE makes: the arguments of clone3(2), and the steps of the child. Every child has its own
 * stack. A child without CLONE_VM has a copy of all memory that is not mapped MAP_SHARED. */
typedef struct kt_lab_child {
    uint64_t flags;
    uint64_t exit_signal;
    uint64_t stack, stack_size;
    uint64_t tls, child_tid, parent_tid, pidfd, cgroup;
    uint64_t by_clone; /* 1: made by clone(2), where the exit signal lies in the low byte of the flags */
    uint64_t steps;    /* the address of kt_lab_step[count] */
    uint64_t count;
} kt_lab_child;

/* A word of memory that a child shares with CLONE_VM. */
uint64_t *kt_lab_word(void);

/* Makes a child, waits for its end and returns its wait status (waitpid(2)). Kills the child and returns
 * -EINTR when a signal arrives, or -ETIMEDOUT when the time is over. Other errno values: the clone was
 * refused. */
int64_t kt_lab_run(const kt_lab_child *child, int64_t timeout_ns);
