/* The C API of kthreads: pure declarations, included by kthreads.h and read as they stand by cffi.
 *
 * Conventions
 *   - Functions return 0 (or a value >= 0) for success and a negative errno value for failure.
 *   - Durations are nanoseconds; a negative timeout waits without limit, zero does not wait.
 *   - A wait that a signal interrupts returns -EINTR, so that a caller can look at the signal.
 *   - `kt_thread *` handles belong to whoever started the thread until kt_thread_detach or
 *     kt_thread_free takes them; after either the handle must not be used again.
 *   - Everything may be called from any thread that has a libc of its own, threads of kthreads
 *     included, but not from a thread of the bare backend.
 */

/* ---- A typed call: what is run ------------------------------------------------------------- */

enum {
    KT_INTEGER_ARGUMENTS = 6, /* integer registers that x86-64 and aarch64 both have */
    KT_FLOAT_ARGUMENTS = 8    /* floating registers, likewise */
};

typedef void (*kt_function)(void);

/* Where the result of a call is found. */
enum kt_result_kind {
    KT_RESULT_NONE = 0,
    KT_RESULT_INTEGER = 1, /* the low bytes of the integer return register */
    KT_RESULT_FLOAT = 2    /* the low bytes of the floating return register */
};

/* One call of a native function. Integers narrower than 64 bits are sign- or zero-extended by who
 * fills them in; a float is the low 32 bits of its word, a double all of them. */
typedef struct kt_call {
    kt_function function;
    uint64_t integers[6];
    uint64_t floats[8];
    uint64_t result; /* written when the call has ended, as raw bits */
    int32_t kind;    /* enum kt_result_kind */
    int32_t error;   /* errno as the function left it; it is 0 when the function begins */
} kt_call;

/* Runs the call on the calling thread. */
void kt_call_run(kt_call *call);

/* ---- A thread: where it is run -------------------------------------------------------------- */

typedef struct kt_thread kt_thread;

enum kt_backend {
    KT_BACKEND_CLONE = 0,   /* clone(2), with a whole libc descriptor */
    KT_BACKEND_CLONE3 = 1,  /* the same by clone3(2); clone where clone3 is refused */
    KT_BACKEND_PTHREAD = 2, /* pthread_create(3), for comparison and under sanitizers */
    /* clone without a TLS of its own: the function shares errno, malloc's caches and the stack
     * protector with its creator. For leaf functions that touch none of them; to teach and measure. */
    KT_BACKEND_BARE_WITHOUT_LIBC = 3
};

enum kt_option {
    KT_OPTION_REUSE = 1,    /* take a parked thread where one fits, park afterwards */
    KT_OPTION_ALTSTACK = 2, /* an alternate signal stack, for handlers of stack overflow */
    KT_OPTION_NICE = 4,     /* set the nice value of the thread */
    KT_OPTION_CPU_TIME = 8  /* record the CPU time of the run when it ends */
};

/* How a thread is started. All zero but `flags` is a sound default for flags
 * CLONE_FS|CLONE_FILES|CLONE_SYSVSEM. Read by kt_thread_start only while it runs. */
typedef struct kt_spec {
    uint64_t flags;       /* any of CLONE_FS, CLONE_FILES, CLONE_SYSVSEM (what is shared) and
                             CLONE_NEWNS, NEWUTS, NEWIPC, NEWNET, NEWCGROUP (what is new) */
    size_t stack_size;    /* usable bytes; 0 for KT_STACK_DEFAULT */
    int32_t backend;      /* enum kt_backend */
    uint32_t options;     /* enum kt_option, or-ed */
    int32_t nice;         /* with KT_OPTION_NICE */
    uint32_t cpus_size;   /* bytes at `cpus`; 0 leaves the affinity inherited */
    const uint64_t *cpus; /* mask as sched_setaffinity(2) takes it */
    const char *name;     /* at most 15 bytes are kept (PR_SET_NAME); NULL leaves it inherited */
} kt_spec;

enum { KT_STACK_MINIMUM = 16384, KT_STACK_DEFAULT = 262144 };

/* Starts a thread that runs a copy of *call. Its handle is in *thread before it runs; NULL on failure.
 * -EAGAIN: a limit on threads; -ENOMEM: no memory; -EINVAL: a bad spec; -EPERM: no privilege for
 * a namespace; -ENOTSUP: this libc failed the self-check, see kt_libc_missing(). */
int kt_thread_start(kt_thread **thread, const kt_spec *spec, const kt_call *call);

/* What a thread that has ended leaves behind. */
typedef struct kt_outcome {
    uint64_t result; /* as in kt_call */
    int32_t error;   /* errno after the call */
    int32_t tid;
    uintptr_t ident;
    int64_t cpu_ns; /* with KT_OPTION_CPU_TIME, else -1 */
    uint64_t flags; /* that clone was called with */
    int32_t reused; /* 1 when it was started on a parked thread */
} kt_outcome;

/* Waits until the thread has ended. Any number of threads may wait, any number of times.
 * *outcome (unless NULL) is filled in on success.
 * -ETIMEDOUT, -EINTR; -EDEADLK when a thread waits for itself. */
int kt_thread_wait(kt_thread *thread, int64_t timeout_ns, kt_outcome *outcome);

/* Waits likewise and claims the thread: -EINVAL for one that was joined before or is being joined
 * by another. The handle stays valid until kt_thread_free. */
int kt_thread_join(kt_thread *thread, int64_t timeout_ns, kt_outcome *outcome);

/* Waits until one of `count` threads has ended and returns its index. -EINVAL for none. */
int kt_thread_wait_any(kt_thread *const *threads, size_t count, int64_t timeout_ns);

/* Gives the handle away; the thread's memory is recycled once it has ended.
 * -EINVAL for a thread that was joined (use kt_thread_free). */
int kt_thread_detach(kt_thread *thread);

/* Ends the use of a handle: recycles an ended thread's memory, detaches a running one. NULL is ignored. */
void kt_thread_free(kt_thread *thread);

int kt_thread_alive(const kt_thread *thread);       /* 1 until the thread (or its run) has ended */
int32_t kt_thread_tid(const kt_thread *thread);     /* kernel thread id (gettid(2)) */
uintptr_t kt_thread_ident(const kt_thread *thread); /* pthread_self() on it; 0 for a bare thread */
uint64_t kt_thread_flags(const kt_thread *thread);  /* the flags that clone was called with */
int kt_thread_reused(const kt_thread *thread);      /* 1 when it was started on a parked thread */

/* CPU time of the thread in nanoseconds, while it runs or, with KT_OPTION_CPU_TIME, of the ended run. */
int kt_thread_cpu_time(kt_thread *thread, int64_t *ns);

/* A new pidfd for the running thread (PIDFD_THREAD, Linux 6.9; close-on-exec), owned by the caller.
 * -EINVAL before Linux 6.9, -ESRCH for a thread that has ended, -ENOTSUP for a reusable thread. */
int kt_thread_pidfd(kt_thread *thread);

/* ---- Memory and parked threads --------------------------------------------------------------- */

typedef struct kt_usage {
    size_t stacks;   /* stacks handed out */
    size_t cached;   /* stacks kept for the next thread */
    size_t mapped;   /* bytes of address space that the stack arena holds */
    size_t parked;   /* parked threads */
    size_t detached; /* detached threads that have not been recycled yet */
} kt_usage;

void kt_usage_now(kt_usage *usage);

/* Ends all parked threads, recycles ended detached threads, gives cached memory back to the kernel. */
void kt_trim(void);

/* How long a parked thread waits for its next run before it ends; 2 s unless set. */
void kt_park_timeout(int64_t ns);

/* ---- What was found in this process ---------------------------------------------------------- */

typedef struct kt_libc {
    size_t descriptor_size; /* bytes of struct pthread */
    size_t tls_size;        /* bytes of static TLS, descriptor included */
    size_t tls_align;
    size_t tid_offset; /* offsets into struct pthread, in bytes */
    size_t list_offset;
    size_t specific_offset;
    size_t start_routine_offset;
    size_t stack_block_offset;
    size_t robust_list_offset;
    uintptr_t start_thread; /* address of libc's thread start */
    int32_t linked;         /* 1 when threads are linked into libc's own list */
    int32_t destructors;    /* 1 when a parked thread can run them between two runs */
} kt_libc;

/* Probes libc and runs the self-check, once; kt_thread_start does so by itself.
 * -ENOTSUP when something is missing. *libc may be NULL. */
int kt_libc_probe(kt_libc *libc);

/* The name of the symbol, field or check that the probe did not find; NULL when all is well. */
const char *kt_libc_missing(void);

enum kt_feature {
    KT_FEATURE_CLONE3 = 1,       /* the kernel lets this process use clone3 */
    KT_FEATURE_GUARD = 2,        /* MADV_GUARD_INSTALL, Linux 6.13 */
    KT_FEATURE_FUTEX_WAITV = 4,  /* Linux 5.16 */
    KT_FEATURE_PIDFD_THREAD = 8, /* Linux 6.9 */
    KT_FEATURE_SANITIZED = 16    /* built with ThreadSanitizer: only the pthread backend works */
};

/* The features of the running kernel, found by trying each once. */
uint32_t kt_features(void);
