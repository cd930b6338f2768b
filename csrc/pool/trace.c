/* Records what a pool does and when, in memory that the caller provides. */
#define _GNU_SOURCE
#include "pool/pool.h"

#include "base/mutex.h"

/* `tracing` counts the threads that write an event, and holds this bit while there is memory. A thread that
 * takes the memory away clears the bit and waits until the count is 0. */
#define TRACE_ON 0x80000000U

int64_t kt__trace_begin(struct kt_pool *pool)
{
    return atomic_load_explicit(&pool->tracing, memory_order_relaxed) & TRACE_ON ? kt__now() : 0;
}

static void record(struct kt_pool *pool, const kt_event *event)
{
    size_t at = atomic_fetch_add_explicit(&pool->events_count, 1, memory_order_relaxed);
    if (at < pool->events_capacity) {
        pool->events[at] = *event;
    }
}

void kt__trace_end(struct kt_pool *pool, int64_t begin_ns, enum kt_event_kind kind, uint32_t worker,
                   int64_t first, int64_t last)
{
    if (begin_ns == 0) {
        return;
    }
    /* Acquire: a thread that sees the bit sees the memory. */
    if (atomic_fetch_add_explicit(&pool->tracing, 1, memory_order_acquire) & TRACE_ON) {
        record(pool, &(kt_event){.begin_ns = begin_ns,
                                 .end_ns = kt__now(),
                                 .first = first,
                                 .last = last,
                                 .kind = kind,
                                 .worker = worker});
    }
    /* Release: a thread that sees the count fall sees the event. */
    atomic_fetch_sub_explicit(&pool->tracing, 1, memory_order_release);
}

size_t kt_pool_trace(kt_pool *pool, kt_event *events, size_t capacity)
{
    kt__mutex_lock(&pool->changing);
    atomic_fetch_and_explicit(&pool->tracing, ~TRACE_ON, memory_order_relaxed);
    while (atomic_load_explicit(&pool->tracing, memory_order_acquire) != 0) {
        kt__pause(); /* a writer only copies one event */
    }
    size_t recorded = atomic_exchange_explicit(&pool->events_count, 0, memory_order_relaxed);
    pool->events = events;
    pool->events_capacity = capacity;
    if (events) {
        atomic_fetch_or_explicit(&pool->tracing, TRACE_ON, memory_order_release);
    }
    kt__mutex_unlock(&pool->changing);
    return recorded;
}
