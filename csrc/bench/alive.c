/* Many threads that are all alive at the same time. */
#define _GNU_SOURCE
#include "bench/probe.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct kt_bench_alive {
    const struct kt__maker *maker;
    size_t count;
    kt__word running, stop;
    _Atomic(uint32_t) wanted; /* the value of `running` that the caller waits for */
    struct kt__made made[];
};

static void wait_for_stop(void *argument)
{
    struct kt_bench_alive *alive = argument;
    if (atomic_fetch_add(&alive->running, 1) + 1 >= atomic_load(&alive->wanted)) {
        kt__futex_wake(&alive->running, 1, KT_FUTEX_SHARED);
    }
    kt__await(&alive->stop, 1);
}

static void await_running(struct kt_bench_alive *alive)
{
    uint32_t now;
    atomic_store(&alive->wanted, (uint32_t)alive->count);
    while ((now = atomic_load(&alive->running)) < alive->count) {
        kt__futex_wait(&alive->running, now, KT_FUTEX_SHARED, -1);
    }
}

int kt_bench_alive_start(kt_bench_alive **out, size_t maker_number, size_t count, size_t *reached,
                         int64_t *start_ns)
{
    const struct kt__maker *maker = kt__maker_at(maker_number);
    if (!maker || maker->is_process || count >= UINT32_MAX) {
        return -ENOTSUP;
    }
    size_t size = sizeof **out + count * sizeof(struct kt__made);
    struct kt_bench_alive *alive = malloc(size);
    if (!alive) {
        return -ENOMEM;
    }
    memset(alive, 1, size); /* makes its pages resident before memory is measured */
    alive->maker = maker;
    alive->count = 0;
    alive->running = alive->stop = 0;
    alive->wanted = UINT32_MAX;
    int64_t begin = kt__now();
    for (; alive->count < count; alive->count++) {
        alive->made[alive->count] = (struct kt__made){.function = wait_for_stop, .argument = alive};
        if (maker->start(&alive->made[alive->count]) != 0) {
            break;
        }
    }
    await_running(alive);
    *start_ns = kt__now() - begin;
    *reached = alive->count;
    *out = alive;
    return 0;
}

int64_t kt_bench_alive_stop(kt_bench_alive *alive)
{
    int64_t begin = kt__now();
    kt__set(&alive->stop, 1);
    for (size_t i = 0; i < alive->count; i++) {
        alive->maker->join(&alive->made[i]);
    }
    int64_t taken = kt__now() - begin;
    free(alive);
    return taken;
}
