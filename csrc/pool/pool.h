/* pool/: pools of threads that wait for work: parallel loops and tasks. It may use thread/, libc/ and base/.
 *
 * This file: the pool and its workers. loop.h has the loop, task.h the task, queue.h the queue of tasks.
 *
 * A worker
 *
 *     no thread --start_worker--> works <--> spins --> sleeps     (worker.c; sleepers.c wakes it)
 *         ^                         |
 *         |                         | `leaving` is set and no task waits: `left`, under `changing`
 *         +-------- join_all -------+
 *
 *   `thread`, `left` and `generation` change under `changing`. In a forked child `generation` of the pool is
 * another one: no worker of the parent is there, and each is started again when it is needed.
 *
 * Who wakes whom, and why no wake-up is lost
 *   An idle worker spins for a while, if it may, then parks: it sets its bit among `sleepers`, looks for
 *   work once more, and sleeps until `signal`. Whoever publishes work (opens the gate, puts a task
 *   into the queue, tells all to leave) does that first and looks at `sleepers` afterwards; all four are
 *   sequentially consistent, so that either the publisher sees the bit or the worker sees the work. A bit is
 *   cleared by one only: by who wakes, who then owes the signal, or by the worker itself, which then goes on.
 *   The lowest bit is taken first: the same few workers stay warm, the others sleep.
 *
 * The open region
 *   A loop runs behind `gate`. Workers enter while it is open and are counted; whoever finds no work left
 *   closes it; the caller waits until it is closed and all who entered have left. A worker that wakes late
 *   finds it closed and costs nobody anything. Who enters does so by one compare-and-swap of the whole word,
 *   so that it is in the loop whose gate it found open, whatever loops came and went since it last looked.
 *
 * tests/models has these as Promela, checked by spin, which takes all loads and stores as sequentially
 * consistent: the weaker orders have their reasons beside them. tests/c/test_pool.c runs them under
 * ThreadSanitizer. */
#ifndef KT_POOL_H
#define KT_POOL_H

#include "cpu.h"
#include "base/futex.h"

#include <kthreads/kthreads.h>
#include <sched.h>
#include <stdbool.h>

#define KT_LINE _Alignas(KT_CACHE_LINE)

/* In `gate`. */
#define KT_GATE_INSIDE        ((uint64_t)0xffff) /* workers that entered and have not left */
#define KT_GATE_LIMIT_SHIFT   16                 /* 16 bits: the worker numbers that may enter are below it */
#define KT_GATE_ENTERED_SHIFT 32                 /* 16 bits: workers that entered */
#define KT_GATE_OPEN          ((uint64_t)1 << 48)

enum { KT_SLEEPER_WORDS = KT_POOL_WORKERS_MAX / 64 + 1 };

struct kt__counters {
    _Atomic(uint64_t) regions, chunks, steals, tasks, parks, spins;
};

/* A worker's place. Worker 0 is whoever calls a loop; the last one does tasks alone. */
struct kt__worker {
    /* The share of the loop: begin and end, in units, in one word. The owner takes from the front, thieves
     * take from the back, both by compare-and-swap. */
    KT_LINE _Atomic(uint64_t) share;

    KT_LINE kt__word signal; /* 1: wake up */

    KT_LINE struct kt__counters counters; /* any: callers share those of worker 0 */
    int64_t spin_ns;                      /* owner's: the present spin budget */
    int64_t stepped_aside_at;             /* owner's */
    bool unfit;                           /* owner's: its initializer has failed, it runs nothing */
    struct kt_completions *unnotified;    /* owner's: a queue whose eventfd it has still to write to */
    uint64_t generation;                  /* frozen while it runs: that of the pool at its start */
    struct kt_pool *pool;                 /* frozen */
    uint32_t number;                      /* frozen */
    struct kt_thread *thread;             /* guarded by `changing`; NULL when it has none */
    bool left;                            /* guarded by `changing`: it runs no task and no loop any more */
};

/* A cell of the queue: a task, and the turn of those who put and take (a bounded queue of many producers and
 * consumers after Dmitry Vyukov: a cell may be written when its turn equals the ticket, read when it is one
 * more). */
struct kt__cell {
    _Atomic(uint64_t) turn;
    struct kt_task *task;
};

struct kt_pool {
    /* One line, as it is from this that a worker which enters learns all. */
    KT_LINE _Atomic(uint64_t) gate;
    struct kt_loop *loop;     /* frozen while the gate is open */
    uint32_t members;         /* likewise: shares, the caller's included */
    _Atomic(uint32_t) waking; /* those who enter wake others */
    kt__word caller_sleeps;   /* on this word, until all have left */

    KT_LINE kt__word busy;     /* a mutex: a caller has the gate */
    _Atomic(uintptr_t) caller; /* pthread_self() of who has it */
    int64_t begun_at;          /* the caller's */
    uint64_t own;              /* likewise: items of the loop that it has run itself */
    int64_t trace_begin;       /* the caller's */
    int64_t ended_at;          /* the last loop: when it ended, */
    kt_function last_function; /* what it ran over how many items, */
    uint64_t last_count;
    int64_t last_work_ns; /* and how long one thread alone would have taken, roughly */

    KT_LINE _Atomic(uint64_t) sleepers[KT_SLEEPER_WORDS];
    KT_LINE _Atomic(uint32_t) spinning;
    _Atomic(int) client_cpu; /* where who brought work last ran: to spin there would keep it from more */
    _Atomic(bool) client_brought_loop;
    _Atomic(uint32_t) leaving; /* threads are to end */

    KT_LINE _Atomic(uint64_t) head; /* tickets of those who take */
    KT_LINE _Atomic(uint64_t) tail; /* tickets of those who put */
    KT_LINE struct kt__cell *cells;
    uint64_t cell_mask;
    kt__word room; /* changes when there is room and somebody waits for it */
    _Atomic(uint32_t) room_waiters;

    KT_LINE kt__word spilling;              /* mutex: the list of tasks that the queue had no room for */
    _Atomic(uint64_t) spilled;              /* tasks in it; 0 unless the pool is unbounded */
    struct kt_task *first_spilled, **spill; /* guarded by `spilling`; where the next one goes */
    _Atomic(uint32_t) unfinished;           /* tasks that wait or run, where threads are lent */

    KT_LINE kt__word changing; /* mutex: threads are started and ended */
    _Atomic(uint32_t) started; /* workers 1 to this one have threads */
    bool quiescing;            /* guarded by `changing`: no new threads now */
    /* For good. Relaxed wherever it is read: work that is handed over at the same time is taken or is not. */
    _Atomic(bool) broken;
    uint64_t generation;       /* forks survived */
    _Atomic(uint32_t) workers; /* changes only while no worker has a thread */
    uint32_t cpus;
    int64_t spin_ns;
    uint32_t options;          /* frozen */
    struct kt__worker *worker; /* room for the most that there can be */
    kt_spec thread;
    kt_call initializer, finalizer;
    char name[16];

    _Atomic(uint32_t) tracing; /* writers of events, and KT_TRACE_ON */
    kt_event *events;
    size_t events_capacity;
    _Atomic(size_t) events_count;

    struct kt_pool *previous, *next; /* all pools; guarded by the engine's lock */
};

/* Who brings work runs here. */
static inline void kt__note_client(struct kt_pool *pool, bool brings_loop)
{
    atomic_store_explicit(&pool->client_brought_loop, brings_loop, memory_order_relaxed);
    atomic_store_explicit(&pool->client_cpu, sched_getcpu(), memory_order_relaxed);
}

/* A store that comes before the loads that follow it, for all to see. Sequentially consistent stores and
 * loads do so, too, and cost as much; but qemu's emulation of aarch64 lets a later load pass such a store,
 * and an exchange not. */
#define kt__publish(place, value) ((void)atomic_exchange((place), (value)))

static inline void kt__break(struct kt_pool *pool)
{
    atomic_store_explicit(&pool->broken, true, memory_order_relaxed);
}

static inline void kt__count(_Atomic(uint64_t) *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* ---- sleepers.c ---- */

/* Wakes at most `count` of the sleepers whose numbers are from `first` to `last`, and returns how many. After
 * a store, sequentially consistent, of what they are to see. */
uint32_t kt__wake(struct kt_pool *pool, uint32_t first, uint32_t last, uint32_t count);

/* How many of the workers from number 1 to `last` sleep. */
uint32_t kt__asleep(const struct kt_pool *pool, uint32_t last);

/* ---- worker.c ---- */

void kt__worker_main(struct kt__worker *worker);

/* ---- worker_threads.c ---- */

/* Starts those of the first `count` workers that have no thread. None while they are to leave. As
 * kt_thread_start. */
int kt__pool_start_workers(struct kt_pool *pool, uint32_t count);

/* Whether a worker has a thread, in this process, that has not left. Under `changing`. */
bool kt__worker_is_there(const struct kt__worker *worker);

/* The memory of a worker, made ready for a new thread. */
struct kt__worker *kt__worker_place(struct kt_pool *pool, uint32_t number);

/* Frees the handle of a worker's thread. */
void kt__worker_free_thread(struct kt__worker *worker);

/* ---- trace.c --------------------------------------------------------------------------------------- */

/* When something that is to be recorded begins; 0 when nothing is. */
int64_t kt__trace_begin(struct kt_pool *pool);
void kt__trace_end(struct kt_pool *pool, int64_t begin_ns, enum kt_event_kind kind, uint32_t worker,
                   int64_t first, int64_t last);

#endif
