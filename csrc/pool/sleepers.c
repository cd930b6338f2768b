/* The set of sleeping workers, one bit each. A waker takes a worker's bit. */
#define _GNU_SOURCE
#include "pool/pool.h"

/* The bits of the workers with numbers from `first` to `last` in one word of `sleepers`. */
static uint64_t mask_of(uint32_t word, uint32_t first, uint32_t last)
{
    uint64_t mask = ~(uint64_t)0;
    if (first / 64 == word) {
        mask &= ~(uint64_t)0 << first % 64;
    }
    if (last / 64 == word) {
        mask &= ~(uint64_t)0 >> (63 - last % 64);
    }
    return mask;
}

uint32_t kt__asleep(const struct kt_pool *pool, uint32_t last)
{
    uint32_t asleep = 0;
    for (uint32_t word = 0; word <= last / 64; word++) {
        asleep += (uint32_t)__builtin_popcountll(atomic_load(&pool->sleepers[word]) & mask_of(word, 1, last));
    }
    return asleep;
}

/* Takes one sleeper's bit. The caller must signal the worker. */
static struct kt__worker *take_sleeper(struct kt_pool *pool, uint32_t first, uint32_t last)
{
    for (uint32_t word = first / 64; word <= last / 64; word++) {
        uint64_t eligible;
        while ((eligible = atomic_load(&pool->sleepers[word]) & mask_of(word, first, last)) != 0) {
            uint64_t bit = eligible & -eligible;
            if (atomic_fetch_and(&pool->sleepers[word], ~bit) & bit) {
                return &pool->worker[64 * word + (uint32_t)__builtin_ctzll(bit)];
            }
        }
    }
    return NULL;
}

uint32_t kt__wake(struct kt_pool *pool, uint32_t first, uint32_t last, uint32_t count)
{
    uint32_t woken = 0;
    struct kt__worker *worker;
    while (woken < count && (worker = take_sleeper(pool, first, last)) != NULL) {
        atomic_store_explicit(&worker->signal, 1, memory_order_release);
        kt__futex_wake(&worker->signal, 1, KT_FUTEX_PRIVATE);
        woken++;
    }
    return woken;
}
