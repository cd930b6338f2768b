/* A mutex of one word, compatible with libc's low-level lock (nptl/lowlevellock.h): 0 is unlocked, 1 locked,
 * 2 locked and perhaps with waiters. */
#ifndef KT_MUTEX_H
#define KT_MUTEX_H

#include "base/futex.h"

void kt__mutex_wait_and_lock(kt__word *mutex);

static inline void kt__mutex_lock(kt__word *mutex)
{
    uint32_t free = 0;
    /* Acquire: this thread sees what the last holder wrote. */
    if (!atomic_compare_exchange_strong_explicit(mutex, &free, 1, memory_order_acquire,
                                                 memory_order_relaxed)) {
        kt__mutex_wait_and_lock(mutex);
    }
}

static inline void kt__mutex_unlock(kt__word *mutex)
{
    /* Release: the next holder sees what this thread wrote under the mutex. */
    if (atomic_exchange_explicit(mutex, 0, memory_order_release) == 2) {
        kt__futex_wake(mutex, 1, KT_FUTEX_PRIVATE);
    }
}

#endif
