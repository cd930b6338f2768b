/* bench/: the harness of `kthreads bench`: single operations of threads and pools, timed without Python in
 * the loop. It may use the engine. cffi reads this file after api.h; it is compiled into the extension and is
 * not part of the C API.
 *
 * A block is a run of consecutive samples of one peer. To compare peers, the caller runs their blocks in a
 * random order, and compares the blocks of the same round. */

typedef struct kt_bench_request {
    size_t count;      /* number of samples to take */
    int64_t budget_ns; /* after this time no further sample begins; the first always does */
    uint32_t threads;  /* number of threads; each suite says what they do */
    int64_t work_ns;   /* work of each thread */
    int64_t gap_ns; /* gap between two samples: the caller spins up to 100 us, and sleeps for longer gaps */
} kt_bench_request;

/* The cost of a block. The overhead of the clock is subtracted from each sample. */
typedef struct kt_bench_block {
    size_t count;                  /* samples taken */
    int64_t wall_ns;               /* of the samples and the gaps between them */
    int64_t cpu_ns;                /* of all threads of the process, and of children that were reaped */
    int64_t faults;                /* page faults without I/O */
    int64_t switches, preemptions; /* voluntary context switches, and others */
    int64_t work_ns;               /* duration of one participant's work, measured right before the block */
    int64_t
        seen; /* participants that ran on different threads, summed over all samples; 0 where not counted */
} kt_bench_block;

/* How the harness and the engine were compiled. */
const char *kt_bench_compiler(void);

/* The time between two consecutive reads of the clock, in ns: the median of many. */
int64_t kt_bench_clock_overhead(void);

/* Waits until this process uses no CPU time any more (idle threads of pools spin for a while), for at most
 * `limit_ns`. */
void kt_bench_settle(int64_t limit_ns);

/* Does work that takes `ns` on an idle CPU, for each index from `begin` to `end`, and records the calling
 * thread. This is the body of all loops that are compared. */
void kt_bench_work(int64_t begin, int64_t end, int64_t ns);

/* How long the work of one index takes at present: the median of some runs. */
int64_t kt_bench_work_takes(int64_t ns);

/* Returns how many threads have called kt_bench_work since the last call. */
size_t kt_bench_workers_seen(void);

void kt_bench_empty(void);

/* ---- Threads ------------------------------------------------------------------------------------------ */

/* The ways to make a thread, or a process. */
size_t kt_bench_makers(void);
const char *kt_bench_maker_name(size_t maker);
const char *kt_bench_maker_missing(size_t maker); /* why it cannot be used here; NULL if it can */

enum kt_bench_thread_suite {
    KT_BENCH_CREATE = 0,      /* from the call to the first instruction of the function */
    KT_BENCH_CREATE_JOIN = 1, /* create a thread with an empty function, and join it */
    KT_BENCH_JOIN = 2, /* from the function's last instruction to the return of a join that already waits */
    KT_BENCH_DETACH =
        3, /* create and detach: ns for each thread, in bursts of `threads`, until all have run */
    KT_BENCH_SWITCH = 4,  /* a round trip between two threads that wait on futexes */
    KT_BENCH_CREATORS = 5 /* `threads` threads create and join at once: ns for each operation */
};

/* Takes a block of samples, in ns. -ENOTSUP when the maker does not support the suite; -EPROTO when a
 * function did not run as often as it was started; errors of the maker. */
int kt_bench_threads(int32_t suite, size_t maker, const kt_bench_request *request, int64_t *samples,
                     kt_bench_block *block);

/* Creates and joins `count` threads between two writes of "kthreads bench" to descriptor -1, which mark the
 * place in a trace of system calls. */
int kt_bench_marked(size_t maker, size_t count);

/* ---- Many threads alive ----------------------------------------------------------------------------- */

typedef struct kt_bench_alive kt_bench_alive;

/* Starts threads that all wait. *reached is the number that was started, less than `count` when the maker
 * failed. *start_ns is the time from the first start until all run. kt_bench_alive_stop ends and frees them,
 * and returns the ns until all are joined. -ENOMEM, -ENOTSUP. */
int kt_bench_alive_start(kt_bench_alive **alive, size_t maker, size_t count, size_t *reached,
                         int64_t *start_ns);
int64_t kt_bench_alive_stop(kt_bench_alive *alive);

/* ---- Pools -------------------------------------------------------------------------------------------- */

size_t kt_bench_pools(void);
const char *kt_bench_pool_name(size_t pool);
const char *kt_bench_pool_missing(size_t pool);

typedef struct kt_bench_pool kt_bench_pool;

/* Opens a pool whose regions have `threads` participants, including the caller. spin_ns is for kt_pool; the
 * others have their own settings. -ENOTSUP for a pool that is missing; other errors of the pool. */
int kt_bench_pool_open(kt_bench_pool **pool, size_t which, uint32_t threads, int64_t spin_ns);
void kt_bench_pool_close(kt_bench_pool *pool);

enum kt_bench_pool_suite {
    KT_BENCH_REGION = 0, /* fork and join of `threads` participants, minus the work of one: the overhead */
    KT_BENCH_SUBMIT = 1, /* from the call to the first instruction of a task */
    KT_BENCH_TASK = 2    /* until the caller sees that the task has ended, by the pool's own kind of wait */
};

/* As kt_bench_threads. -ENOTSUP for a pool without tasks. */
int kt_bench_pool_run(int32_t suite, kt_bench_pool *pool, const kt_bench_request *request, int64_t *samples,
                      kt_bench_block *block);

/* ---- Peers in C++ ----------------------------------------------------------------------------------- */

/* Opens a shared library built from bench/measure/cpp/std_thread.cpp or bench/measure/cpp/tbb.cpp. Returns 0,
 * or -ENOENT when it cannot be opened: kt_bench_shim_error() returns the reason. */
int kt_bench_shim(const char *path);
const char *kt_bench_shim_error(void);
