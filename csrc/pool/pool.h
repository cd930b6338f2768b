/* pool/: pools of threads that wait for work: parallel loops and tasks. It may use thread/, libc/ and base/.
 *
 * This file: the pool and its workers. loop.h has the loop, rhythm.h the rhythm of loops, task.h the task,
 * queue.h the queue of tasks.
 *
 * The states of a worker
 *
 *     no thread --start_worker--> works <--> spins --> sleeps     (worker.c; sleepers.c wakes it)
 *         ^                         |
 *         |                         | `leaving` is set and no task waits: `left`, under `changing`
 *         +-------- join_all -------+
 *
 * `thread`, `left` and `generation` change under `changing`. A forked child increments the pool's
 * `generation`: the parent's workers have no threads there, and each worker is started again when it is
 * needed.
 *
 * Why no wake-up is lost
 *
 * An idle worker spins for a while, if it may, and then parks: it sets its bit in `sleepers`, checks for work
 * once more, and sleeps until `signal`. A publisher of work opens the gate, queues a task, or tells all
 * workers to leave. It does that first and reads `sleepers` afterwards. All four accesses are sequentially
 * consistent, so either the publisher sees the bit or the worker sees the work. Exactly one thread clears a
 * bit: a waker, which must then signal the worker, or the worker itself, which then does not sleep. A worker
 * that expects a loop also wakes up by a timer: then it clears its bit, if no waker has, and continues as if
 * it had not slept. A waker takes the lowest bit first: the same few workers stay warm, and the others sleep.
 *
 * The open region
 *
 * A loop runs behind `gate`. Workers enter while it is open and are counted. A worker that finds no work left
 * closes it. The caller waits until the gate is closed and all workers that entered have left. A worker that
 * wakes late finds the gate closed and delays no thread. A worker enters by one compare-and-swap of the whole
 * word. So it is in the loop whose gate it found open, whatever loops began and ended since it last read the
 * word.
 *
 * tests/models has Promela models of these, checked by spin. spin takes all loads and stores as sequentially
 * consistent; where the code uses a weaker order, a comment there gives the reason. tests/c/test_pool.c runs
 * this code under ThreadSanitizer. */
#ifndef KT_POOL_H
#define KT_POOL_H

#include "cpu.h"
#include "base/futex.h"

#include <kthreads/kthreads.h>
#include <sched.h>
#include <stdbool.h>

#define KT_LINE _Alignas(KT_CACHE_LINE)

/* The fields of `gate`. */
#define KT_GATE_INSIDE        ((uint64_t)0xffff) /* number of workers that entered and have not left */
#define KT_GATE_LIMIT_SHIFT   16                 /* 16 bits: workers with numbers below this may enter */
#define KT_GATE_ENTERED_SHIFT 32                 /* 16 bits: number of workers that entered */
#define KT_GATE_OPEN          ((uint64_t)1 << 48)

enum { KT_SLEEPER_WORDS = KT_POOL_WORKERS_MAX / 64 + 1 };

struct kt__counters {
    _Atomic(uint64_t) regions, chunks, steals, tasks, parks, spins;
};

/* A worker. Worker 0 is the caller of a loop; the last one runs tasks only. */
struct kt__worker {
    /* The worker's share of the loop: begin and end, in units, in one word. The worker takes units from the
     * front, thieves take from the back, both by compare-and-swap. */
    KT_LINE _Atomic(uint64_t) share;

    KT_LINE kt__word signal; /* 1: wake up */

    KT_LINE struct kt__counters counters; /* written by any thread: all callers use those of worker 0 */
    int64_t spin_ns;                      /* the worker's: its present spin budget */
    int64_t ahead_ns;                     /* the worker's: how long before an expected loop it wakes up */
    uint32_t missed;  /* the worker's: number of expected loops since it last entered one or was woken */
    int64_t moved_at; /* the worker's */
    bool unfit;       /* the worker's: its initializer has failed, and it runs nothing */
    struct kt_completions *unnotified; /* the worker's: a completion queue that it has still to notify */
    uint64_t generation;      /* constant while the worker runs: the pool's generation at its start */
    struct kt_pool *pool;     /* constant */
    uint32_t number;          /* constant */
    struct kt_thread *thread; /* guarded by `changing`; NULL without a thread */
    bool left;                /* guarded by `changing`: the worker runs no further task or loop */
};

/* A cell of the queue: a task, and the turn of producers and consumers. (This is Dmitry Vyukov's bounded MPMC
 * queue: a cell may be written when its turn equals the ticket, and read when it is one more.) */
struct kt__cell {
    _Atomic(uint64_t) turn;
    struct kt_task *task;
};

/* When loops come. Guarded by the gate but for the atomic ones. */
struct kt__rhythm {
    KT_LINE _Atomic(int64_t) due; /* when the next loop is expected; 0: not known */
    _Atomic(int64_t) period;      /* mean time from one loop to the next */
    int64_t begun_at;             /* when the last loop began */
    uint32_t steady;              /* more with each loop that comes on time */
    uint32_t alone;               /* number of loops since there were enough helpers */
};

struct kt_pool {
    /* One cache line, which holds all that a worker reads as it enters. */
    KT_LINE _Atomic(uint64_t) gate;
    struct kt_loop *loop;     /* constant while the gate is open */
    uint32_t members;         /* likewise: number of shares, including the caller's */
    _Atomic(uint32_t) waking; /* workers that enter wake others */
    kt__word caller_sleeps;   /* the caller sleeps on this word until all have left */

    KT_LINE kt__word busy;     /* mutex: a caller has locked the gate */
    _Atomic(uintptr_t) caller; /* pthread_self() of that caller */
    int64_t begun_at;          /* the caller's */
    uint64_t caller_items;     /* the caller's: items of the loop that it has run itself */
    int64_t trace_begin;       /* the caller's */
    int64_t ended_at;          /* the last loop: when it ended, */
    kt_function last_function; /* its function and number of items, */
    uint64_t last_count;
    int64_t last_work_ns; /* and roughly how long one thread alone would have taken */

    struct kt__rhythm rhythm;

    KT_LINE _Atomic(uint64_t) sleepers[KT_SLEEPER_WORDS];
    KT_LINE _Atomic(uint32_t) spinning;
    /* The CPU on which work was published last. A worker that spins there delays the publisher. */
    _Atomic(int) client_cpu;
    _Atomic(bool) client_brought_loop;
    _Atomic(uint32_t) leaving; /* the workers must leave */

    KT_LINE _Atomic(uint64_t) head; /* next ticket of the consumers */
    KT_LINE _Atomic(uint64_t) tail; /* next ticket of the producers */
    KT_LINE struct kt__cell *cells;
    uint64_t cell_mask;
    kt__word room; /* changes when there is room and a producer waits for it */
    _Atomic(uint32_t) room_waiters;

    KT_LINE kt__word spilling; /* mutex: guards the list of tasks for which the queue had no room */
    _Atomic(uint64_t) spilled; /* number of tasks in it; 0 unless the pool is unbounded */
    struct kt_task *first_spilled, **spill; /* guarded by `spilling`; the place of the next one */
    /* Where the caller's threads serve the pool: number of tasks that wait or run. */
    _Atomic(uint32_t) unfinished;

    KT_LINE kt__word changing; /* mutex: guards the starting and ending of threads, and kt_pool_trace */
    _Atomic(uint32_t) started; /* workers 1 to `started` have threads */
    bool quiescing;            /* guarded by `changing`: no thread may be started */
    /* Never cleared. All reads are relaxed: work that is published at the same time may be run or not. */
    _Atomic(bool) broken;
    uint64_t generation;       /* one more in each forked child */
    _Atomic(uint32_t) workers; /* changes only while no worker has a thread */
    uint32_t cpus;
    int64_t spin_ns;
    uint32_t options;          /* constant */
    struct kt__worker *worker; /* room for the largest number of workers */
    kt_spec thread;
    kt_call initializer, finalizer;
    char name[16];

    _Atomic(uint32_t) tracing; /* the number of threads that write events, and TRACE_ON (trace.c) */
    kt_event *events;
    size_t events_capacity;
    _Atomic(size_t) events_count;

    struct kt_pool *previous, *next; /* list of all pools; guarded by the engine's lock */
};

/* Records that the calling thread publishes work on this CPU. */
static inline void kt__note_client(struct kt_pool *pool, bool brings_loop)
{
    atomic_store_explicit(&pool->client_brought_loop, brings_loop, memory_order_relaxed);
    atomic_store_explicit(&pool->client_cpu, sched_getcpu(), memory_order_relaxed);
}

/* A store that all threads see before the loads that follow it. Sequentially consistent stores and loads
 * guarantee the same at the same cost. But qemu's emulation of aarch64 lets a later load pass such a store;
 * it does not let one pass an exchange. */
#define kt__publish(place, value) ((void)atomic_exchange((place), (value)))

static inline void kt__break(struct kt_pool *pool)
{
    atomic_store_explicit(&pool->broken, true, memory_order_relaxed);
}

static inline void kt__count(_Atomic(uint64_t) *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* sleepers.c */

/* Wakes at most `count` of the sleepers with numbers from `first` to `last`, and returns how many it woke.
 * The caller has published, by a sequentially consistent store, what they are to see. */
uint32_t kt__wake(struct kt_pool *pool, uint32_t first, uint32_t last, uint32_t count);

/* Returns how many of the workers with numbers from 1 to `last` sleep. */
uint32_t kt__asleep(const struct kt_pool *pool, uint32_t last);

/* worker.c */

void kt__worker_main(struct kt__worker *worker);

/* worker_threads.c */

/* Starts the threads of those of the first `count` workers that have none. Starts none while the workers must
 * leave. Returns as kt_thread_start. */
int kt__pool_start_workers(struct kt_pool *pool, uint32_t count);

/* Whether a worker has a thread, in this process, that has not left. The caller holds `changing`. */
bool kt__worker_has_thread(const struct kt__worker *worker);

/* Prepares a worker for a new thread, and returns it. */
struct kt__worker *kt__worker_prepare(struct kt_pool *pool, uint32_t number);

/* Frees the handle of a worker's thread. */
void kt__worker_free_thread(struct kt__worker *worker);

/* trace.c */

/* The time at which an event to be recorded begins; 0 when tracing is off. */
int64_t kt__trace_begin(struct kt_pool *pool);
void kt__trace_end(struct kt_pool *pool, int64_t begin_ns, enum kt_event_kind kind, uint32_t worker,
                   int64_t first, int64_t last);

#endif
