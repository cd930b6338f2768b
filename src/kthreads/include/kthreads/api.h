/* The C API of kthreads: pure declarations, which kthreads.h includes and cffi reads without preprocessing.
 *
 * Conventions
 *   - Functions return 0 (or a value >= 0) for success and a negative errno value for failure.
 *   - Durations are nanoseconds; a negative timeout waits without limit, zero does not wait.
 *   - A wait that a signal interrupts returns -EINTR, so that the caller can handle the signal.
 *   - The starter of a thread owns its `kt_thread *` handle until it calls kt_thread_detach or
 *     kt_thread_free; after either the handle must not be used again.
 *   - Any thread may call any function, threads of kthreads included, except threads of the bare
 *     backend: they have no libc descriptor of their own.
 */

/* ---- Typed calls --------------------------------------------------------------------------- */

enum {
    KT_INTEGER_ARGUMENTS = 6, /* integer registers that x86-64 and aarch64 both have */
    KT_FLOAT_ARGUMENTS = 8,   /* floating-point registers that both have */
    KT_MORE_ARGUMENTS = 26,   /* for which no room is left in those */
    KT_ARGUMENTS = 32         /* of one call, of any kinds */
};

typedef void (*kt_function)(void);

/* The register that holds the result of a call. */
enum kt_result_kind {
    KT_RESULT_NONE = 0,
    KT_RESULT_INTEGER = 1, /* the low bytes of the integer return register */
    KT_RESULT_FLOAT = 2    /* the low bytes of the floating-point return register */
};

/* One call of a native function. The caller sign- or zero-extends integers that are narrower than 32 bits to
 * 32 bits (functions read no more, psABI and AAPCS64). A float is the low 32 bits of its word, a double all
 * 64. */
typedef struct kt_call {
    kt_function function;
    uint64_t integers[6];
    uint64_t floats[8];
    uint64_t result; /* raw bits, written when the call has ended */
    int32_t kind;    /* enum kt_result_kind */
    int32_t error;   /* errno after the function; it is 0 when the function begins */
    /* The arguments for which `integers` and `floats` have no room, in the order of the parameters. The words
     * must stay valid until the call has ended. */
    const uint64_t *more;
    uint32_t more_count;  /* at most KT_MORE_ARGUMENTS; 0 for none */
    uint32_t more_floats; /* bit i is set when more[i] is a float or a double */
} kt_call;

/* Runs the call on the calling thread. */
void kt_call_run(kt_call *call);

/* ---- Threads -------------------------------------------------------------------------------- */

typedef struct kt_thread kt_thread;

enum kt_backend {
    KT_BACKEND_CLONE = 0,   /* clone(2), with a complete libc descriptor */
    KT_BACKEND_CLONE3 = 1,  /* the same by clone3(2), or by clone where clone3 is refused */
    KT_BACKEND_PTHREAD = 2, /* pthread_create(3), for comparison and under sanitizers */
    /* clone without TLS: the function shares errno, malloc's caches and the stack protector's canary with its
     * creator. For leaf functions that use none of them, and for measurements. All signals stay blocked on
     * the thread: a handler would have no TLS. */
    KT_BACKEND_BARE_WITHOUT_LIBC = 3
};

enum kt_option {
    KT_OPTION_REUSE = 1,     /* start on a parked thread where one fits, and park afterwards */
    KT_OPTION_ALTSTACK = 2,  /* an alternate signal stack, for handlers of stack overflow */
    KT_OPTION_NICE = 4,      /* set the nice value of the thread */
    KT_OPTION_CPU_TIME = 8,  /* record the CPU time of the run when it ends */
    KT_OPTION_SCHEDULE = 16, /* set the scheduling policy and priority of the thread; never with reuse */
    KT_OPTION_DETACHED = 32  /* the thread is detached from its start: only itself may use its handle */
};

/* How a thread is started. Zero in all fields but `flags` is a good default, with flags
 * CLONE_FS|CLONE_FILES|CLONE_SYSVSEM. kt_thread_start reads it only until it returns. */
typedef struct kt_spec {
    uint64_t flags; /* CLONE_FS, CLONE_FILES, CLONE_SYSVSEM (shared resources), CLONE_NEWNS, NEWUTS, NEWIPC,
                       NEWNET, NEWCGROUP (new namespaces) */
    size_t stack_size;       /* usable bytes; 0 for KT_STACK_DEFAULT */
    int32_t backend;         /* enum kt_backend */
    uint32_t options;        /* enum kt_option, or-ed */
    int32_t nice;            /* with KT_OPTION_NICE */
    uint32_t cpus_size;      /* bytes at `cpus`; 0 inherits the starter's affinity */
    const uint64_t *cpus;    /* mask as sched_setaffinity(2) takes it */
    const char *name;        /* at most 15 bytes are kept (PR_SET_NAME); NULL inherits the starter's name */
    const uint64_t *signals; /* signal mask as rt_sigprocmask(2) takes it; NULL inherits the starter's. libc's
                                signals 32 and 33 are never blocked */
    size_t guard_size; /* bytes below the stack that nobody can access, rounded up; at least, and with 0,
                          KT_GUARD_DEFAULT */
    /* The lowest byte of the caller's stack; NULL for a stack of the engine. Its size is `stack_size`, which
     * includes what libc needs at the top: static TLS and the thread's descriptor. It has no guard, and
     * KT_OPTION_ALTSTACK is not allowed. It must stay valid until the engine has recycled the thread: until
     * kt_thread_free after the end, or kt_trim after the end of a detached thread. */
    void *stack;
    int32_t policy, priority; /* with KT_OPTION_SCHEDULE, as sched_setscheduler(2) takes them */
    uintptr_t *ident; /* where pthread_self() of the thread is stored, before the thread runs unless the
                         backend is pthread; NULL for nowhere */
} kt_spec;

enum { KT_STACK_MINIMUM = 16384, KT_STACK_DEFAULT = 262144, KT_GUARD_DEFAULT = 16384 };

/* Starts a thread that runs a copy of *call. The thread, or the run of a parked thread, inherits the signal
 * mask of the caller. Stores the handle in *thread before the thread runs, and NULL on failure. -EAGAIN: a
 * limit on threads; -ENOMEM: no memory; -EINVAL: a bad spec; -EPERM: no privilege for a namespace or a
 * priority; -ENOTSUP: this libc failed the self-check, see kt_libc_missing(). */
int kt_thread_start(kt_thread **thread, const kt_spec *spec, const kt_call *call);

/* A start routine of pthread_create(3). */
typedef void *(*kt_routine)(void *argument);

/* As kt_thread_start, for a start routine of pthread_create(3). */
int kt_thread_start_routine(kt_thread **thread, const kt_spec *spec, kt_routine routine, void *argument);

/* The results of a thread that has ended. */
typedef struct kt_outcome {
    uint64_t result; /* as in kt_call */
    int32_t error;   /* errno after the call */
    int32_t tid;
    uintptr_t ident;
    int64_t cpu_ns; /* with KT_OPTION_CPU_TIME, else -1 */
    uint64_t flags; /* the clone flags */
    int32_t reused; /* 1 when it was started on a parked thread */
    /* As pthread_join(3) gives it: the result, the value of pthread_exit(3), or PTHREAD_CANCELED. */
    void *exit_value;
} kt_outcome;

/* Waits for the end of a thread, or of the run of a reusable thread. By then its destructors have run, and
 * the robust mutexes that it held are marked. Any number of threads may wait, any number of times. Fills in
 * *outcome on success, unless it is NULL. -ETIMEDOUT, -EINTR; -EDEADLK when a thread waits for itself. */
int kt_thread_wait(kt_thread *thread, int64_t timeout_ns, kt_outcome *outcome);

/* As kt_thread_wait, and claims the thread: -EINVAL when it was joined before or another thread is joining
 * it; -EDEADLK also when it is joining the calling thread. The handle stays valid until kt_thread_free. */
int kt_thread_join(kt_thread *thread, int64_t timeout_ns, kt_outcome *outcome);

/* As kt_thread_join, and a point of cancellation, as pthread_join(3) is: when the calling thread is cancelled
 * while it waits, the other thread stays as it was. */
int kt_thread_join_cancellable(kt_thread *thread, int64_t timeout_ns, kt_outcome *outcome);

/* Cancels the thread, as pthread_cancel(3) does. After pthread_cancel itself a join may say -EDEADLK of a
 * cancelled thread that was joining the caller. -ESRCH for a thread that has ended. */
int kt_thread_cancel(kt_thread *thread);

/* Waits until one of `count` threads has ended, and returns its index. -EINVAL when `count` is 0. */
int kt_thread_wait_any(kt_thread *const *threads, size_t count, int64_t timeout_ns);

/* Detaches the thread: its memory is recycled once it has ended. Any thread may do so, also the thread
 * itself. -EINVAL for a thread that was detached, that was joined (use kt_thread_free), or that a thread is
 * joining. */
int kt_thread_detach(kt_thread *thread);

/* Frees a handle: recycles an ended thread's memory, and detaches a running thread. NULL is ignored. */
void kt_thread_free(kt_thread *thread);

/* The thread whose pthread_self() is `ident`: of the engine's threads that were neither freed nor recycled.
 * NULL for others, such as the main thread, where this libc failed the self-check, and for backend pthread
 * where a tool such as AddressSanitizer has a pthread_create of its own. `ident` must be of a thread that
 * exists or may still be joined. */
kt_thread *kt_thread_of(uintptr_t ident);

int kt_thread_alive(const kt_thread *thread);       /* 1 until the thread (or its run) has ended */
int32_t kt_thread_tid(const kt_thread *thread);     /* kernel thread id (gettid(2)) */
uintptr_t kt_thread_ident(const kt_thread *thread); /* pthread_self() on it; 0 for a bare thread */
uint64_t kt_thread_flags(const kt_thread *thread);  /* the clone flags */
int kt_thread_reused(const kt_thread *thread);      /* 1 when it was started on a parked thread */

/* The CPU time of the thread in ns, while it runs. With KT_OPTION_CPU_TIME also after its end, of the run. */
int kt_thread_cpu_time(kt_thread *thread, int64_t *ns);

/* Opens a pidfd for the running thread (PIDFD_THREAD, Linux 6.9; close-on-exec). The caller owns it. -EINVAL
 * before Linux 6.9, -ESRCH for a thread that has ended, -ENOTSUP for a reusable thread. */
int kt_thread_pidfd(kt_thread *thread);

/* ---- Memory and parked threads --------------------------------------------------------------- */

typedef struct kt_usage {
    size_t stacks;   /* stacks in use */
    size_t cached;   /* free stacks kept for later threads */
    size_t mapped;   /* bytes of address space mapped for stacks */
    size_t parked;   /* parked threads */
    size_t detached; /* detached threads that have not been recycled yet */
} kt_usage;

void kt_usage_now(kt_usage *usage);

/* Ends all parked threads, recycles detached threads that have ended, and gives cached memory back to the
 * kernel. */
void kt_trim(void);

/* Sets how long a parked thread waits for its next run before it ends. The default is 2 s. With 0 threads are
 * not parked. */
void kt_park_timeout(int64_t ns);

/* ---- Pools ----------------------------------------------------------------------------------- */

typedef struct kt_pool kt_pool;

enum { KT_POOL_WORKERS_MAX = 4096 };

enum kt_pool_option {
    KT_POOL_LENT = 1,     /* the pool starts no threads: threads that call kt_pool_serve run its tasks */
    KT_POOL_UNBOUNDED = 2 /* tasks for which the queue has no room wait in an overflow list */
};

typedef struct kt_pool_spec {
    uint32_t workers;    /* threads that run a loop, including its caller; 1 or more */
    uint32_t cpus;       /* CPUs that the workers can use; one fewer may spin at a time; 0 for none */
    int64_t spin_ns;     /* how long an idle worker spins at most before it sleeps; 0 for never */
    uint32_t queue_size; /* tasks that may wait, 1 or more; rounded up to a power of two */
    uint32_t options;    /* enum kt_pool_option, or-ed */
    const char *name;    /* of the threads, to which their numbers are appended; NULL for none */
    /* How each thread is started; `name` is ignored; NULL for the default. `stack`, `ident` and
     * KT_OPTION_DETACHED are not allowed. */
    const kt_spec *thread;
    /* Each thread calls it as it begins; NULL for none. With an integer result, any value but 0 means
     * failure: the pool then breaks, see kt_pool_break. */
    const kt_call *initializer;
    /* Each thread calls it as it ends, except in a child that it has forked; NULL for none. It must not use
     * the pool: a start of the same worker's next thread waits for it. */
    const kt_call *finalizer;
} kt_pool_spec;

/* Makes a pool and starts the threads that its loops use, one fewer than its workers. The first task starts
 * one more, so that as many tasks run at once as there are workers. The name is copied; `cpus` and
 * `signals` of `thread`, and what the arguments of the two calls point to must stay valid as long as the
 * pool. Sets *pool before the threads run, and to NULL after a failure. Errors as kt_thread_start; -EINVAL
 * for a bad spec. In a forked child the threads are started again when they are needed; tasks that waited in
 * the parent do not run in the child. */
int kt_pool_new(kt_pool **pool, const kt_pool_spec *spec);

/* Waits for the running loop and for all tasks, and ends the threads. They are started again when they are
 * needed. -ETIMEDOUT, -EINTR: the pool continues as before. -EDEADLK from a thread of the pool. */
int kt_pool_quiesce(kt_pool *pool, int64_t timeout_ns);

/* As kt_pool_quiesce, and changes the number of workers. */
int kt_pool_resize(kt_pool *pool, uint32_t workers, uint32_t cpus, int64_t timeout_ns);

/* Frees a pool for which kt_pool_quiesce has returned 0 and which is no longer used. NULL is ignored. Tasks
 * that were queued after the last thread had left are cancelled, and come back as cancelled tasks do. */
void kt_pool_free(kt_pool *pool);

uint32_t kt_pool_workers(const kt_pool *pool);

/* Breaks the pool permanently. Tasks that wait are cancelled and returned. Later calls of kt_pool_run and
 * kt_pool_submit return -ENOTRECOVERABLE. Running tasks and loops continue. Any thread may call this. */
void kt_pool_break(kt_pool *pool);

/* ---- Parallel loops ---------------------------------------------------------------------------- */

enum kt_schedule {
    KT_SCHEDULE_DYNAMIC = 0, /* small chunks; a worker that has none left takes chunks from others */
    KT_SCHEDULE_STATIC = 1   /* one chunk for each worker */
};

/* A loop: `call` is made for chunks of `count` items, on all workers at once, with the chunk's begin and end
 * in its first two integers. Item i is begin + i * step, and the end of a chunk never exceeds `end`. The
 * caller must not change it while it runs; it may run again. The caller sets everything below `cancel` to 0
 * before the first run. */
typedef struct kt_loop {
    kt_call call;
    int64_t strides[6];    /* worker w adds w times this to each integer argument */
    int64_t begin, end;    /* of the range */
    int64_t step;          /* not 0 */
    uint64_t count;        /* items in the range */
    uint64_t grain;        /* items in a chunk; 0 lets the engine choose */
    uint64_t failure;      /* a result with any of these bits set means that the body has failed */
    uint32_t workers;      /* at most so many workers run the loop; 0 for all */
    int32_t schedule;      /* enum kt_schedule */
    const int32_t *cancel; /* the loop stops when this is not 0; NULL for none */

    /* For the engine's use, read by workers. */
    uint64_t unit;
    uint64_t undone;
    uint32_t stop;

    /* Results, valid after the run. */
    int32_t failed_errno;
    int64_t failed_begin, failed_end; /* the first chunk that failed */
    uint64_t failed_result;
    uint64_t done;      /* items */
    uint32_t took_part; /* number of workers that ran chunks, including the caller */

    /* For the engine's use. Changes with each run, and so is kept apart from what workers read. */
    int32_t phase;
    uint64_t next;
    uint64_t claimed; /* 0, or the claim of the caller of kt_pool_run_to_end */
} kt_loop;

/* Runs a loop, with the calling thread as worker 0. When another loop of this pool runs already, around this
 * one or on another thread, the calling thread runs this one alone. 0; -EIO: the body failed, see above;
 * -ECANCELED: the loop was stopped with items left. -ETIMEDOUT: the time is over, or a signal has come, and
 * the loop still runs; call again until the result is another one. The time is checked between chunks.
 * -EINVAL for a bad loop; errors as kt_thread_start when threads had to be started. */
int kt_pool_run(kt_pool *pool, kt_loop *loop, int64_t timeout_ns);

/* Stops a loop: no further chunks begin, and kt_pool_run returns when the running ones have ended. Any thread
 * may call this. */
void kt_loop_stop(kt_loop *loop);

/* Sets the word that `cancel` of loops points to. Any thread or signal handler may call this. */
void kt_cancel(int32_t *cancel);

/* Returns not 0 when a wait must end early, as for a signal. */
typedef int (*kt_interrupted)(void);

/* Gets a loop whose run has failed, and what kt_pool_run_to_end returns for it. Until this returns no other
 * thread can run the loop, and what the run has left in it can be read. */
typedef void (*kt_loop_failed)(const kt_loop *loop, int rc);

/* Runs a loop as kt_pool_run does, from its beginning to its end: it does not return while the engine uses
 * memory of the caller. When the time is over, or when `interrupted` returns not 0, it stops the loop and
 * waits for the running chunks. It calls `interrupted` (NULL: never) every 40 ms and after signals. Results
 * as kt_pool_run, and -ETIMEDOUT: stopped by the timeout, with items left. -EINTR: `interrupted` returned not
 * 0, whatever the loop's result. -EBUSY: this function runs the loop already. It calls `failed` (NULL: never)
 * before it returns another result than 0 and -EBUSY. */
int kt_pool_run_to_end(kt_pool *pool, kt_loop *loop, int64_t timeout_ns, kt_interrupted interrupted,
                       kt_loop_failed failed);

/* ---- Maps: a function of numbers over the items of arrays --------------------------------------- */

enum { KT_MAP_OPERANDS = 33 /* parameters and a result */, KT_MAP_DIMENSIONS = 64 };

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
    void *items;  /* the first item; need not be aligned */
    int32_t type; /* enum kt_item */
} kt_map_operand;

/* `function` is called with one item of each parameter's array. The result is stored into the array of the
 * operand after the last parameter. All arrays have the same shape; an array that is repeated along a
 * dimension has a stride of 0 there. Items are counted in row-major order, the last dimension fastest: it
 * should be long, and its strides short. The result of a call may be stored in place of its arguments. */
typedef struct kt_map {
    kt_function function;
    uint32_t parameters; /* at most KT_ARGUMENTS */
    uint32_t dimensions; /* at most KT_MAP_DIMENSIONS; 0 for single items */
    const uint64_t *shape;
    const int64_t *strides; /* in bytes; the stride of operand o in dimension d is at o * dimensions + d */
    kt_map_operand operands[33]; /* parameters, then the result */
} kt_map;

/* Maps the items from `begin` up to, not including, `end`. This is the body of a loop whose `count` is the
 * product of the shape. Leaves errno as the calls set it. */
void kt_map_chunk(uint64_t begin, uint64_t end, const kt_map *map);

/* ---- Tasks ------------------------------------------------------------------------------------- */

/* A queue that collects ended tasks. Its descriptor is readable when there are some. */
typedef struct kt_completions kt_completions;

enum kt_task_state {
    KT_TASK_NEW = 0,
    KT_TASK_QUEUED = 1,
    KT_TASK_RUNNING = 2,
    KT_TASK_DONE = 3,
    KT_TASK_CANCELLED = 4,
    KT_TASK_GONE = 5 /* cancelled, and removed from the queue */
};

/* One call for a pool to make. The submitter owns it again once it has been returned: by kt_completions_take,
 * or without `completions` when its state is done or gone. */
typedef struct kt_task {
    kt_call call;
    kt_completions *completions; /* NULL for none */
    uint64_t tag;                /* the owner's */

    /* For the engine's use. */
    uint32_t state;
    uint32_t met; /* a worker was spinning when the task was queued */
    struct kt_task *link;
} kt_task;

/* Queues tasks, waiting for room for `timeout_ns`. Returns how many of `count` were queued. A queued task's
 * state is no longer KT_TASK_NEW: by this a caller that was interrupted can tell which were queued. When none
 * was queued: -EAGAIN when there was no room, -EINTR; -ENOTRECOVERABLE for a broken pool; errors as
 * kt_thread_start. */
int64_t kt_pool_submit(kt_pool *pool, kt_task *const *tasks, size_t count, int64_t timeout_ns);

/* Runs the tasks of a pool with KT_POOL_LENT on the calling thread, as worker `number`, from 1 to the number
 * of workers. No other thread may serve as this worker at the same time. Returns 0 when the pool is closed
 * and no task waits, or in a child that a task has forked. -EINVAL: no such worker, or the pool starts its
 * own threads. */
int kt_pool_serve(kt_pool *pool, uint32_t number);

/* Makes kt_pool_serve return, on all threads, when no task waits. The pool may be freed when they have
 * returned. */
void kt_pool_close(kt_pool *pool);

/* Returns how many tasks of a pool with KT_POOL_LENT wait or run. A task that was returned to its owner does
 * neither. */
uint32_t kt_pool_unfinished(const kt_pool *pool);

/* Waits until the task is done or cancelled. When a worker was spinning as the task was queued, spins for at
 * most `spin_ns` before it sleeps. -ETIMEDOUT, -EINTR. */
int kt_task_wait(kt_task *task, int64_t spin_ns, int64_t timeout_ns);

/* Makes the descriptor of the task's completions readable as soon as the task ends. Without this, that may be
 * delayed until a worker has nothing else to do. -EALREADY: the task is done or cancelled. */
int kt_task_watch(kt_task *task);

/* Cancels a task that waits in a queue. Returns 0, or -EBUSY when the task runs or has run. */
int kt_task_cancel(kt_task *task);

int kt_task_state_of(const kt_task *task); /* enum kt_task_state */

int kt_completions_new(kt_completions **completions); /* -EMFILE, -ENFILE, -ENOMEM */
int kt_completions_fd(const kt_completions *completions);

/* Sleeps until the descriptor is readable, or perhaps less long. Meanwhile the thread blocks signals as a
 * parked thread does. */
void kt_completions_wait(kt_completions *completions);

/* Moves the completed tasks to the end of the caller's list, in the order of their ends. The list begins at
 * *first and is linked by `link`. Makes the descriptor not readable. The list is the caller's memory, so a
 * caller that is interrupted as this returns finds the tasks there. */
void kt_completions_take(kt_completions *completions, kt_task **first);
void kt_completions_free(kt_completions *completions); /* when no task refers to it any more */

/* ---- Statistics and events of a pool ------------------------------------------------------------- */

typedef struct kt_worker_stats {
    uint64_t regions; /* loops in which it ran chunks */
    uint64_t chunks;
    uint64_t steals; /* times it took work from another worker's share */
    uint64_t tasks;
    uint64_t parks; /* times it went to sleep */
    uint64_t spins; /* times it found work while it spun */
    int64_t cpu_ns; /* of its thread; -1 where not known, as for worker 0, which all callers share */
} kt_worker_stats;

/* Fills in at most `count` entries, and returns how many there are: worker 0, the workers for loops, and one
 * for tasks only. */
size_t kt_pool_stats(kt_pool *pool, kt_worker_stats *stats, size_t count);

enum kt_event_kind { KT_EVENT_LOOP = 0, KT_EVENT_CHUNK = 1, KT_EVENT_TASK = 2 };

typedef struct kt_event {
    int64_t begin_ns, end_ns; /* CLOCK_MONOTONIC */
    int64_t first, last;      /* the range of a chunk or loop; the tag of a task */
    int32_t kind;             /* enum kt_event_kind */
    uint32_t worker;
} kt_event;

/* Records events in the caller's memory until the next call; a call with NULL stops recording. The previous
 * memory is no longer written when this returns. Returns how many events were, or with enough capacity would
 * have been, recorded since the last call. */
size_t kt_pool_trace(kt_pool *pool, kt_event *events, size_t capacity);

/* ---- Sharing and namespaces of the calling thread ---------------------------------------------- */

/* unshare(2), for the calling thread alone: CLONE_FS, FILES, SYSVSEM and the CLONE_NEW* flags; no NEWUSER in
 * a process with other threads. -EPERM, -EINVAL, -ENOSPC, as unshare(2). */
int kt_unshare(uint64_t flags);

/* setns(2): `fd` refers to a namespace, or is a pidfd (Linux 5.8), with the flags of the namespaces to
 * enter. */
int kt_setns(int32_t fd, uint64_t flags);

/* The resources that two threads can share; the numbers of kcmp(2). */
enum kt_resource {
    KT_RESOURCE_VM = 1,
    KT_RESOURCE_FILES = 2,
    KT_RESOURCE_FS = 3,
    KT_RESOURCE_SIGHAND = 4,
    KT_RESOURCE_IO = 5,
    KT_RESOURCE_SYSVSEM = 6
};

/* Returns 1 when two threads share a resource (enum kt_resource), 0 when each has its own. -ESRCH, -EPERM;
 * -ENOSYS from a kernel built without kcmp(2). */
int kt_same(int32_t tid, int32_t other, int32_t resource);

/* ---- Findings about libc and the kernel ------------------------------------------------------ */

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
    size_t result_offset;
    size_t signal_mask_offset; /* 0 when it was not found: threads set their mask themselves */
    uintptr_t start_thread;    /* address of libc's start_thread */
    int32_t linked;            /* 1 when threads are on libc's own list */
    int32_t destructors;       /* 1 when a reusable thread can run destructors between two runs */
} kt_libc;

/* Probes libc and runs the self-check until there is a final result; later calls return that. kt_thread_start
 * does this by itself. -ENOTSUP when something is missing; any other error, such as -EAGAIN for lack of
 * threads, is temporary. *libc receives the findings; NULL is allowed. */
int kt_libc_probe(kt_libc *libc);

/* The name of the symbol, field or check that has failed; NULL when all is well or nothing is known yet. */
const char *kt_libc_missing(void);

enum kt_feature {
    KT_FEATURE_CLONE3 = 1,       /* the kernel lets this process use clone3 */
    KT_FEATURE_GUARD = 2,        /* MADV_GUARD_INSTALL, Linux 6.13 */
    KT_FEATURE_FUTEX_WAITV = 4,  /* Linux 5.16 */
    KT_FEATURE_PIDFD_THREAD = 8, /* Linux 6.9 */
    KT_FEATURE_SANITIZED = 16    /* built with ThreadSanitizer: only the pthread backend works */
};

/* The features of the running kernel, each found by a trial. An answer is remembered. A feature whose trial
 * fails for a temporary shortage is left out, and tried again the next time. */
uint32_t kt_features(void);

/* 1 in a build with ThreadSanitizer, else 0. Makes no system call. */
int kt_sanitized(void);
