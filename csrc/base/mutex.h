/* A mutex of one word, the one that libc's low-level lock is too: 0 free, 1 held, 2 held and
 * perhaps waited for (nptl/lowlevellock.h). */
#ifndef KT_MUTEX_H
#define KT_MUTEX_H

#include "base/futex.h"

void kt__mutex_wait_and_lock(kt__word *mutex);

static inline void kt__mutex_lock(kt__word *mutex)
{
    uint32_t free = 0;
    /* Acquire: what the last holder wrote is seen. */
    if (!atomic_compare_exchange_strong_explicit(mutex, &free, 1, memory_order_acquire,
                                                 memory_order_relaxed)) {
        kt__mutex_wait_and_lock(mutex);
    }
}

static inline void kt__mutex_unlock(kt__word *mutex)
{
    /* Release: what was written under the mutex is seen by the next holder. */
    if (atomic_exchange_explicit(mutex, 0, memory_order_release) == 2) {
        kt__futex_wake(mutex, 1, KT_FUTEX_PRIVATE);
    }
}

#endif
