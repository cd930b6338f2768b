/* A parallel loop: how its chunks are run and how it is stopped. */
#define _GNU_SOURCE
#include "pool/loop.h"

#include <errno.h>

static kt__word *stop_of(struct kt_loop *loop)
{
    return (kt__word *)&loop->stop;
}

void kt_loop_stop(kt_loop *loop)
{
    uint32_t none = 0;
    atomic_compare_exchange_strong(stop_of(loop), &none, KT_STOP_ASKED);
}

void kt_cancel(int32_t *cancel)
{
    __atomic_store_n(cancel, 1, __ATOMIC_RELAXED); /* relaxed: the flag publishes no other data */
}

bool kt__loop_stopped(struct kt_loop *loop)
{
    if (loop->cancel && __atomic_load_n(loop->cancel, __ATOMIC_RELAXED) != 0) {
        kt_loop_stop(loop);
    }
    return atomic_load_explicit(stop_of(loop), memory_order_relaxed) != 0;
}

uint64_t kt__loop_units(const struct kt_loop *loop)
{
    return kt__divide_up(loop->count, loop->unit);
}

struct kt__member kt__member_of(struct kt_pool *pool, struct kt_loop *loop, uint32_t number)
{
    struct kt__member member = {.pool = pool, .loop = loop, .number = number, .call = loop->call};
    for (int i = 2; i < KT_INTEGER_ARGUMENTS; i++) {
        member.call.integers[i] += (uint64_t)loop->strides[i] * number;
    }
    return member;
}

static void fail(struct kt_loop *loop, const kt_call *call)
{
    if (atomic_exchange(stop_of(loop), KT_STOP_FAILED) != KT_STOP_FAILED) {
        loop->failed_begin = (int64_t)call->integers[0];
        loop->failed_end = (int64_t)call->integers[1];
        loop->failed_result = call->result;
        loop->failed_errno = call->error;
    }
}

uint64_t kt__run_unit(struct kt__member *member, uint64_t unit)
{
    struct kt_loop *loop = member->loop;
    uint64_t first = unit * loop->unit;
    uint64_t items = loop->count - first < loop->unit ? loop->count - first : loop->unit;
    kt_call *call = &member->call;
    /* Unsigned arithmetic: the items may be of an unsigned type. */
    call->integers[0] = (uint64_t)loop->begin + first * (uint64_t)loop->step;
    call->integers[1] = first + items == loop->count
                            ? (uint64_t)loop->end
                            : (uint64_t)loop->begin + (first + items) * (uint64_t)loop->step;
    int64_t begin = kt__trace_begin(member->pool);
    kt_call_run(call);
    kt__trace_end(member->pool, begin, KT_EVENT_CHUNK, member->number, (int64_t)call->integers[0],
                  (int64_t)call->integers[1]);
    if (call->result & loop->failure) {
        fail(loop, call);
        __atomic_fetch_add(&loop->undone, items, __ATOMIC_RELAXED);
        return 0;
    }
    return items;
}

int kt__loop_result(struct kt_loop *loop)
{
    loop->phase = KT_PHASE_NEW;
    return atomic_load(stop_of(loop)) == KT_STOP_FAILED ? -EIO : loop->done < loop->count ? -ECANCELED : 0;
}
