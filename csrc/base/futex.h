/* Waiting on a 32-bit word that another thread, or the kernel, will change. */
#ifndef KT_FUTEX_H
#define KT_FUTEX_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef _Atomic(uint32_t) kt__word;

/* The key under which waiter and waker meet. The kernel wakes a CLEARTID word under the shared key
 * (kernel/fork.c, mm_release), so whoever waits for a thread's end must too. */
enum kt__futex_key { KT_FUTEX_SHARED = 0, KT_FUTEX_PRIVATE = 128 /* FUTEX_PRIVATE_FLAG */ };

enum { KT_WAITV_MAX = 128 }; /* FUTEX_WAITV_MAX of the kernel */

/* A point on CLOCK_MONOTONIC, in ns; negative for never. */
typedef int64_t kt__deadline;

int64_t kt__now(void);
kt__deadline kt__deadline_after(int64_t timeout_ns);

/* Sleeps while *word == expected. 0 when woken or when the word differs already, -ETIMEDOUT, -EINTR. */
int kt__futex_wait(kt__word *word, uint32_t expected, enum kt__futex_key key, kt__deadline deadline);
void kt__futex_wake(kt__word *word, int count, enum kt__futex_key key);

/* One of the words that kt__futex_waitv waits for. */
struct kt__await {
    kt__word *word;
    uint32_t expected;
    enum kt__futex_key key;
};

/* Sleeps while all of `count` <= KT_WAITV_MAX words have their expected values.
 * As kt__futex_wait, and -ENOSYS before Linux 5.16. */
int kt__futex_waitv(const struct kt__await *awaited, size_t count, kt__deadline deadline);

#endif
