#include "base/mutex.h"

void kt__mutex_wait_and_lock(kt__word *mutex)
{
    /* Whoever has waited holds it as 2: there may be others, and waking one in vain is all it costs. */
    while (atomic_exchange_explicit(mutex, 2, memory_order_acquire) != 0) {
        kt__futex_wait(mutex, 2, KT_FUTEX_PRIVATE, -1);
    }
}
