#include "base/mutex.h"

void kt__mutex_wait_and_lock(kt__word *mutex)
{
    /* A thread that has waited locks the mutex with the value 2: there may be more waiters. If there are
     * none, the only cost is a needless wake-up. */
    while (atomic_exchange_explicit(mutex, 2, memory_order_acquire) != 0) {
        kt__futex_wait(mutex, 2, KT_FUTEX_PRIVATE, -1);
    }
}
