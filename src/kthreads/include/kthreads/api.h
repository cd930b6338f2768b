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

/* One call of a native function. Integers narrower than 32 bits are sign- or zero-extended to as many by who
 * fills them in (functions look at no more, psABI and AAPCS64); a float is the low 32 bits of its word, a
 * double all of them. */
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

/* Waits until the thread has ended, or the run of a reusable one: its destructors have run, and the robust
 * mutexes that it held are marked. Any number of threads may wait, any number of times. *outcome (unless
 * NULL) is filled in on success. -ETIMEDOUT, -EINTR; -EDEADLK when a thread waits for itself. */
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

/* ---- A pool: threads that wait for work ------------------------------------------------------ */

typedef struct kt_pool kt_pool;

enum { KT_POOL_WORKERS_MAX = 4096 };

enum kt_pool_option {
    KT_POOL_LENT = 1,     /* no threads of its own: those that call kt_pool_serve do its tasks */
    KT_POOL_UNBOUNDED = 2 /* tasks that the queue has no room for wait in a list behind it */
};

typedef struct kt_pool_spec {
    uint32_t workers;      /* who takes part in a loop, its caller included; 1 or more */
    uint32_t cpus;         /* CPUs that they can use: one fewer may spin at a time; 0 for none */
    int64_t spin_ns;       /* the longest that an idle worker spins before it sleeps; 0 for never */
    uint32_t queue_size;   /* tasks that may wait, 1 or more; rounded up to a power of two */
    uint32_t options;      /* enum kt_pool_option, or-ed */
    const char *name;      /* of the threads, with their numbers; NULL for none */
    const kt_spec *thread; /* how each is started; `name` is ignored; NULL for the default */
    /* Run on each as it begins; NULL for none. One with an integer result fails by any but 0: the pool then
     * breaks, see kt_pool_break. */
    const kt_call *initializer;
    /* Run on each as it ends, but for one that has forked, in the child; likewise. It cannot use the pool:
     * whoever starts a thread in the same place waits for it. */
    const kt_call *finalizer;
} kt_pool_spec;

/* Makes a pool and starts the threads that its loops use, one fewer than its workers; the first task
 * starts one more, so that as many tasks run at once as there are workers. Names, CPUs and the
 * arguments of those two are copied or must stay valid as long as the pool.
 * *pool is set before the threads run, and NULL after a failure.
 * As kt_thread_start; -EINVAL for a bad spec. In a forked child the threads are started again when they
 * are needed; tasks that waited in the parent do not run in the child. */
int kt_pool_new(kt_pool **pool, const kt_pool_spec *spec);

/* Waits for the loop that runs and for all tasks, ends the threads; they start again when they are needed.
 * -ETIMEDOUT, -EINTR: it goes on as before. -EDEADLK from a thread of the pool. */
int kt_pool_quiesce(kt_pool *pool, int64_t timeout_ns);

/* Quiesces and changes the number of workers. */
int kt_pool_resize(kt_pool *pool, uint32_t workers, uint32_t cpus, int64_t timeout_ns);

/* Frees a quiet pool: one that kt_pool_quiesce has returned 0 for and that nobody uses. NULL is ignored. */
void kt_pool_free(kt_pool *pool);

uint32_t kt_pool_workers(const kt_pool *pool);

/* Takes no more work, for good: a task that waits comes back cancelled, and later calls of kt_pool_run and
 * kt_pool_submit return -ENOTRECOVERABLE. What runs is not touched. From any thread. */
void kt_pool_break(kt_pool *pool);

/* ---- A parallel loop -------------------------------------------------------------------------- */

enum kt_schedule {
    KT_SCHEDULE_DYNAMIC = 0, /* small chunks; who has none left takes them from others */
    KT_SCHEDULE_STATIC = 1   /* as many chunks as workers */
};

/* One loop: `call` is made for chunks of `count` items, on all workers at once, with the chunk's begin and
 * end in its first two integers. Item i is begin + i * step, and a chunk's end is never beyond `end`.
 * Frozen while it runs; may be run again. Those who only run it zero what is below `cancel`. */
typedef struct kt_loop {
    kt_call call;
    int64_t strides[6];    /* what worker w adds to each integer is w times this */
    int64_t begin, end;    /* of the range */
    int64_t step;          /* not 0 */
    uint64_t count;        /* items in the range */
    uint64_t grain;        /* items in a chunk; 0 to choose */
    uint64_t failure;      /* the bits of the result that say, when not all 0, that the body has failed */
    uint32_t workers;      /* at most this many take part; 0 for all */
    int32_t schedule;      /* enum kt_schedule */
    const int32_t *cancel; /* the loop stops when this is not 0; NULL for none */

    /* The engine's own, which workers read. */
    uint64_t unit;
    uint64_t undone;
    uint32_t stop;

    /* Results, valid after the run. */
    int32_t failed_errno;
    int64_t failed_begin, failed_end; /* the first chunk that failed */
    uint64_t failed_result;
    uint64_t done;      /* items */
    uint32_t took_part; /* workers that did, the caller included */

    /* The engine's own, away from what workers read, as it changes with each run. */
    int32_t phase;
    uint64_t next;
    uint64_t claimed; /* who runs it to its end: 0 for nobody */
} kt_loop;

/* Runs a loop, the calling thread taking part as worker 0. Where another loop of this pool runs already,
 * be it around this one or another thread's, the calling thread runs it alone.
 * 0; -EIO: the body failed, see above; -ECANCELED: it was stopped with items left.
 * -ETIMEDOUT: the time is over, the loop still runs: call again, until there is another answer. Looked at
 * between chunks. -EINVAL for a bad loop; as kt_thread_start where threads had to be started. */
int kt_pool_run(kt_pool *pool, kt_loop *loop, int64_t timeout_ns);

/* No further chunks: the running ones end, then kt_pool_run returns. From any thread. */
void kt_loop_stop(kt_loop *loop);

/* Sets the word that loops name as `cancel`. From any thread, or a signal handler. */
void kt_cancel(int32_t *cancel);

/* Whether a wait is to be given up, as for a signal: not 0 if so. */
typedef int (*kt_interrupted)(void);

/* Runs a loop as kt_pool_run does, but from its beginning to its end: while the engine uses memory of the
 * caller's, this does not return. When the time is over, or when `interrupted`, which is asked every 40 ms
 * and after signals (NULL: never), says so, the loop is stopped and the chunks that run are waited for. Also
 * -ETIMEDOUT: stopped as the time was over, with items left. -EINTR: `interrupted` said so, whatever became
 * of the loop. -EBUSY: the loop is being run by this function already. */
int kt_pool_run_to_end(kt_pool *pool, kt_loop *loop, int64_t timeout_ns, kt_interrupted interrupted);

/* ---- A map: a function of numbers over the items of arrays --------------------------------------- */

enum { KT_MAP_OPERANDS = 15 /* parameters and a result */, KT_MAP_DIMENSIONS = 64 };

enum kt_item {
    KT_ITEM_INT8 = 0,
    KT_ITEM_INT16 = 1,
    KT_ITEM_INT32 = 2,
    KT_ITEM_INT64 = 3,
    KT_ITEM_UINT8 = 4,
    KT_ITEM_UINT16 = 5,
    KT_ITEM_UINT32 = 6,
    KT_ITEM_UINT64 = 7,
    KT_ITEM_BOOL = 8, /* of one byte */
    KT_ITEM_FLOAT = 9,
    KT_ITEM_DOUBLE = 10
};

typedef struct kt_map_operand {
    void *items;  /* the first; need not be aligned */
    int32_t type; /* enum kt_item */
} kt_map_operand;

/* `function` is called with an item of each parameter's array, and the result stored into the array of the
 * operand that follows the last parameter. All arrays have the same shape, one that is repeated along a
 * dimension has a stride of 0 there. Items are counted with the last dimension running fastest: it should be
 * long, and its strides short. Results may be stored where the arguments of the same call were. */
typedef struct kt_map {
    kt_function function;
    uint32_t parameters; /* at most as many of each kind as kt_call has */
    uint32_t dimensions; /* at most KT_MAP_DIMENSIONS; 0 for single items */
    const uint64_t *shape;
    const int64_t *strides;      /* in bytes: that of operand o in dimension d is at o * dimensions + d */
    kt_map_operand operands[15]; /* parameters, then the result */
} kt_map;

/* The items from begin up to end: the body of a loop over as many items as the product of the shape. Leaves
 * errno as the calls did. */
void kt_map_chunk(uint64_t begin, uint64_t end, const kt_map *map);

/* ---- Tasks ------------------------------------------------------------------------------------- */

/* Where tasks that have ended are collected, with a descriptor that is readable when there are some. */
typedef struct kt_completions kt_completions;

enum kt_task_state {
    KT_TASK_NEW = 0,
    KT_TASK_QUEUED = 1,
    KT_TASK_RUNNING = 2,
    KT_TASK_DONE = 3,
    KT_TASK_CANCELLED = 4,
    KT_TASK_GONE = 5 /* cancelled, and out of the queue */
};

/* One call for a pool to make. Who submits it owns it again once it has come back: from
 * kt_completions_take where it names one, else when its state is done or gone. */
typedef struct kt_task {
    kt_call call;
    kt_completions *completions; /* NULL for none */
    uint64_t tag;                /* the owner's */

    /* The engine's own. */
    uint32_t state;
    uint32_t met; /* as it was queued, a worker was spinning for it */
    struct kt_task *link;
} kt_task;

/* Queues tasks and returns how many of `count` there was room for, waiting for room for `timeout_ns`. The
 * state of those that were queued is no longer KT_TASK_NEW, whoever asks: by that a caller who is interrupted
 * tells them. With none queued: -EAGAIN when there was no room, -EINTR; -ENOTRECOVERABLE for a broken pool;
 * as kt_thread_start. */
int64_t kt_pool_submit(kt_pool *pool, kt_task *const *tasks, size_t count, int64_t timeout_ns);

/* Does the tasks of a pool of lent threads on the calling thread, as worker `number`, from 1 to the number of
 * workers, which no other thread is at the time. Returns 0 when the pool is closed and no task waits, or in a
 * child that a task has forked. -EINVAL: no such worker, or the pool has threads of its own. */
int kt_pool_serve(kt_pool *pool, uint32_t number);

/* Ends kt_pool_serve, on all threads, when no task waits. The pool is free when they have returned. */
void kt_pool_close(kt_pool *pool);

/* How many tasks of a pool of lent threads wait or run. One that has come back does neither. */
uint32_t kt_pool_unfinished(const kt_pool *pool);

/* Waits until the task is done or cancelled, spinning for at most `spin_ns` before it sleeps where the task
 * met a worker that was awake; -ETIMEDOUT,
 * -EINTR. */
int kt_task_wait(kt_task *task, int64_t spin_ns, int64_t timeout_ns);

/* Has the descriptor of its completions tell of the task's end as soon as it comes. Without, it tells when a
 * worker has nothing else to do. -EALREADY: it is done or cancelled. */
int kt_task_watch(kt_task *task);

/* Keeps a task that waits in a queue from running: 0, or -EBUSY when it runs or ran. */
int kt_task_cancel(kt_task *task);

int kt_task_state_of(const kt_task *task); /* enum kt_task_state */

int kt_completions_new(kt_completions **completions); /* -EMFILE, -ENFILE, -ENOMEM */
int kt_completions_fd(const kt_completions *completions);

/* Moves the tasks that have come back to the end of the caller's list, which begins at *first and is linked
 * by `link`, in the order that they ended in. Makes the descriptor not readable. The list is memory of the
 * caller's, so that one who is interrupted as this returns finds the tasks there. */
void kt_completions_take(kt_completions *completions, kt_task **first);
void kt_completions_free(kt_completions *completions); /* when no task names it any more */

/* ---- What a pool did ----------------------------------------------------------------------------- */

typedef struct kt_worker_stats {
    uint64_t regions; /* loops that it took part in */
    uint64_t chunks;
    uint64_t steals; /* times that it took work from another's share */
    uint64_t tasks;
    uint64_t parks; /* times that it went to sleep */
    uint64_t spins; /* times that work came while it spun */
    int64_t cpu_ns; /* of its thread; -1 where not known, as for callers, all of which are worker 0 */
} kt_worker_stats;

/* Fills in at most `count` and returns how many there are: worker 0, the threads for loops, the one for
 * tasks alone. */
size_t kt_pool_stats(kt_pool *pool, kt_worker_stats *stats, size_t count);

enum kt_event_kind { KT_EVENT_LOOP = 0, KT_EVENT_CHUNK = 1, KT_EVENT_TASK = 2 };

typedef struct kt_event {
    int64_t begin_ns, end_ns; /* CLOCK_MONOTONIC */
    int64_t first, last;      /* the range of a chunk or loop; the tag of a task */
    int32_t kind;             /* enum kt_event_kind */
    uint32_t worker;
} kt_event;

/* Records events into memory of the caller's until told to stop by NULL, which returns when nobody writes
 * any more. Returns how many were, or would have been, recorded since the last call. */
size_t kt_pool_trace(kt_pool *pool, kt_event *events, size_t capacity);

/* ---- What the calling thread shares, and the namespaces that it is in ------------------------ */

/* unshare(2), for the calling thread alone: CLONE_FS, FILES, SYSVSEM and the CLONE_NEW* flags; no NEWUSER
 * where the process has other threads. -EPERM, -EINVAL, -ENOSPC, as the kernel says. */
int kt_unshare(uint64_t flags);

/* setns(2): `fd` is of a namespace, or a pidfd (Linux 5.8) with the flags of those to enter. */
int kt_setns(int32_t fd, uint64_t flags);

/* What two threads can share; the numbers of kcmp(2). */
enum kt_resource {
    KT_RESOURCE_VM = 1,
    KT_RESOURCE_FILES = 2,
    KT_RESOURCE_FS = 3,
    KT_RESOURCE_SIGHAND = 4,
    KT_RESOURCE_IO = 5,
    KT_RESOURCE_SYSVSEM = 6
};

/* 1 when two threads share a resource (enum kt_resource), 0 when each has its own. -ESRCH, -EPERM;
 * -ENOSYS from a kernel built without kcmp(2). */
int kt_same(int32_t tid, int32_t other, int32_t resource);

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

/* Probes libc and runs the self-check, until these have told something, and then no more; kt_thread_start
 * does so by itself. -ENOTSUP when something is missing; another when it could not be told this time, such as
 * -EAGAIN for want of threads. *libc may be NULL. */
int kt_libc_probe(kt_libc *libc);

/* The name of the symbol, field or check that the probe did not find; NULL when all is well, or nothing
 * known. */
const char *kt_libc_missing(void);

enum kt_feature {
    KT_FEATURE_CLONE3 = 1,       /* the kernel lets this process use clone3 */
    KT_FEATURE_GUARD = 2,        /* MADV_GUARD_INSTALL, Linux 6.13 */
    KT_FEATURE_FUTEX_WAITV = 4,  /* Linux 5.16 */
    KT_FEATURE_PIDFD_THREAD = 8, /* Linux 6.9 */
    KT_FEATURE_SANITIZED = 16    /* built with ThreadSanitizer: only the pthread backend works */
};

/* The features of the running kernel, found by trying each. What it has answered is remembered; a feature
 * that a passing shortage hides is left out, and tried again the next time. */
uint32_t kt_features(void);

/* 1 in a build with ThreadSanitizer, 0 in others. Asks the kernel nothing. */
int kt_sanitized(void);
