/* bench/: it may use the engine. The harness of `kthreads bench`: single operations of threads and pools,
 * timed without Python in the loop. Read by cffi after api.h and compiled into the extension; no part of the
 * C API.
 *
 * A block is a run of samples of one peer, one right after another. Who measures runs the blocks of peers
 * that are to be compared in a random order, and compares what ran in the same round. */

typedef struct kt_bench_request {
    size_t count;      /* samples wanted */
    int64_t budget_ns; /* no further sample than the first is begun after so long */
    uint32_t threads;  /* that take part; what it means is said with each suite */
    int64_t work_ns;   /* that each of them works */
    int64_t gap_ns;    /* between two samples: up to 100 us the caller spins, beyond it sleeps */
} kt_bench_request;

/* What a block cost. The clock's own overhead is taken off each sample. */
typedef struct kt_bench_block {
    size_t count;                  /* samples that were taken */
    int64_t wall_ns;               /* of the samples and the gaps between them */
    int64_t cpu_ns;                /* of all threads of the process, and of children that were waited for */
    int64_t faults;                /* page faults without I/O */
    int64_t switches, preemptions; /* voluntary context switches, and others */
    int64_t work_ns;               /* that the work of one participant takes, found right before the block */
    int64_t seen; /* participants that were threads of their own, over all samples; 0 where not asked */
} kt_bench_block;

/* How the harness and the engine were compiled. */
const char *kt_bench_compiler(void);

/* What lies between two readings of the clock, in ns: the median of many. */
int64_t kt_bench_clock_overhead(void);

/* Waits until this process burns no CPU any more (idle threads of pools spin for a while), or so long. */
void kt_bench_settle(int64_t limit_ns);

/* Does so much work that it takes `ns` on an idle CPU, for each index from `begin` to `end`, and notes who
 * did it: the body of all loops that are compared. */
void kt_bench_work(int64_t begin, int64_t end, int64_t ns);

/* How long that takes just now, for one index: the median of some. */
int64_t kt_bench_work_takes(int64_t ns);

/* How many threads have called kt_bench_work since the last question. */
size_t kt_bench_workers_seen(void);

void kt_bench_empty(void);

/* ---- Threads ------------------------------------------------------------------------------------------ */

/* The ways to make a thread, or a process. */
size_t kt_bench_makers(void);
const char *kt_bench_maker_name(size_t maker);
const char *kt_bench_maker_missing(size_t maker); /* why it cannot be used here; NULL when it can */

enum kt_bench_thread_suite {
    KT_BENCH_CREATE = 0,      /* from the call to the first instruction of the function */
    KT_BENCH_CREATE_JOIN = 1, /* create an empty function's thread and join it */
    KT_BENCH_JOIN = 2,   /* from the function's last instruction to the return of join, which waits already */
    KT_BENCH_DETACH = 3, /* create and detach: ns a thread, in bursts of `threads`, until all have run */
    KT_BENCH_SWITCH = 4, /* there and back between two threads that wait on futexes */
    KT_BENCH_CREATORS = 5 /* `threads` threads create and join at once: ns an operation, all together */
};

/* A block of samples in ns. -ENOTSUP when the maker cannot do this; -EPROTO when a function did not run as
 * often as it was started; -errno values of the maker's. */
int kt_bench_threads(int32_t suite, size_t maker, const kt_bench_request *request, int64_t *samples,
                     kt_bench_block *block);

/* Creates and joins `count` threads between two writes to descriptor -1 of "kthreads bench", by which a trace
 * of system calls is cut. */
int kt_bench_marked(size_t maker, size_t count);

/* ---- Many threads alive ----------------------------------------------------------------------------- */

typedef struct kt_bench_alive kt_bench_alive;

/* Starts threads that all wait; *reached of them, when less than `count`, before the maker failed. Frees with
 * kt_bench_alive_stop, which returns the ns until all are joined. *start_ns is from the first start until
 * all run. -ENOMEM, -ENOTSUP. */
int kt_bench_alive_start(kt_bench_alive **alive, size_t maker, size_t count, size_t *reached,
                         int64_t *start_ns);
int64_t kt_bench_alive_stop(kt_bench_alive *alive);

/* ---- Pools -------------------------------------------------------------------------------------------- */

size_t kt_bench_pools(void);
const char *kt_bench_pool_name(size_t pool);
const char *kt_bench_pool_missing(size_t pool);

typedef struct kt_bench_pool kt_bench_pool;

/* `threads` take part in a region, the caller among them. spin_ns is for kt_pool, the others have settings of
 * their own. -ENOTSUP for one that is missing; else as the pool's own. */
int kt_bench_pool_open(kt_bench_pool **pool, size_t which, uint32_t threads, int64_t spin_ns);
void kt_bench_pool_close(kt_bench_pool *pool);

enum kt_bench_pool_suite {
    KT_BENCH_REGION = 0, /* fork and join of `threads` participants, less the work of one: the overhead */
    KT_BENCH_SUBMIT = 1, /* from the call to the first instruction of a task */
    KT_BENCH_TASK = 2    /* until the caller knows that the task has ended, by the pool's own way to wait */
};

/* As kt_bench_threads. -ENOTSUP for a pool without tasks. */
int kt_bench_pool_run(int32_t suite, kt_bench_pool *pool, const kt_bench_request *request, int64_t *samples,
                      kt_bench_block *block);

/* ---- Peers in C++ ----------------------------------------------------------------------------------- */

/* Opens a shared library that was made of peers/std_thread.cpp or peers/tbb.cpp. 0, or -ENOENT when it cannot
 * be opened: kt_bench_shim_error() says why. */
int kt_bench_shim(const char *path);
const char *kt_bench_shim_error(void);
