/* Futexes: waiting until another thread, or the kernel, changes a 32-bit word. */
#ifndef KT_FUTEX_H
#define KT_FUTEX_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef _Atomic(uint32_t) kt__word;

/* The key by which the kernel matches waiters and wakers. The kernel wakes a CLEARTID word under the shared
 * key (kernel/fork.c, mm_release), so a thread that waits for a thread's end must use the shared key, too. */
enum kt__futex_key { KT_FUTEX_SHARED = 0, KT_FUTEX_PRIVATE = 128 /* FUTEX_PRIVATE_FLAG */ };

enum { KT_WAITV_MAX = 128 }; /* FUTEX_WAITV_MAX of the kernel */

/* A time of CLOCK_MONOTONIC in ns; negative: never. */
typedef int64_t kt__deadline;

int64_t kt__now(void);
kt__deadline kt__deadline_after(int64_t timeout_ns);

/* Sleeps while *word == expected. Returns 0 when the thread was woken or the word already had another value,
 * -ETIMEDOUT, or -EINTR. */
int kt__futex_wait(kt__word *word, uint32_t expected, enum kt__futex_key key, kt__deadline deadline);
void kt__futex_wake(kt__word *word, int count, enum kt__futex_key key);

/* One of the words that kt__futex_waitv waits for. */
struct kt__await {
    kt__word *word;
    uint32_t expected;
    enum kt__futex_key key;
};

/* Sleeps while each of `count` <= KT_WAITV_MAX words has its expected value. Returns as kt__futex_wait, and
 * -ENOSYS before Linux 5.16. */
int kt__futex_waitv(const struct kt__await *awaited, size_t count, kt__deadline deadline);

#endif
