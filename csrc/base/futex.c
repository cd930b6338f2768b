#include "base/futex.h"

#include "base/syscall.h"

#include <time.h>

enum { FUTEX_WAKE_OPERATION = 1, FUTEX_WAIT_BITSET_OPERATION = 9 };

static const uint32_t any_bit = 0xffffffff;

/* The kernel's struct futex_waitv (Linux 5.16), which older headers lack. */
struct waitv {
    uint64_t value;
    uint64_t address;
    uint32_t flags;
    uint32_t reserved;
};

enum { FUTEX2_32_BITS = 2 };

int64_t kt__now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

kt__deadline kt__deadline_after(int64_t timeout_ns)
{
    int64_t deadline;
    if (timeout_ns < 0 || __builtin_add_overflow(kt__now(), timeout_ns, &deadline)) {
        return -1;
    }
    return deadline;
}

static struct timespec *as_timespec(kt__deadline deadline, struct timespec *time)
{
    if (deadline < 0) {
        return NULL;
    }
    time->tv_sec = (time_t)(deadline / 1000000000);
    time->tv_nsec = (long)(deadline % 1000000000);
    return time;
}

int kt__futex_wait(kt__word *word, uint32_t expected, enum kt__futex_key key, kt__deadline deadline)
{
    struct timespec time;
    /* FUTEX_WAIT_BITSET takes an absolute CLOCK_MONOTONIC time; FUTEX_WAIT takes a relative one. */
    long rc = kt__syscall(SYS_futex, word, FUTEX_WAIT_BITSET_OPERATION | (int)key, expected,
                          as_timespec(deadline, &time), NULL, any_bit);
    return rc == -EAGAIN ? 0 : (int)rc;
}

void kt__futex_wake(kt__word *word, int count, enum kt__futex_key key)
{
    syscall(SYS_futex, word, FUTEX_WAKE_OPERATION | (int)key, count, NULL, NULL, 0);
}

int kt__futex_waitv(const struct kt__await *awaited, size_t count, kt__deadline deadline)
{
    struct waitv waiters[KT_WAITV_MAX];
    struct timespec time;
    for (size_t i = 0; i < count; i++) {
        waiters[i] = (struct waitv){.value = awaited[i].expected,
                                    .address = (uint64_t)(uintptr_t)awaited[i].word,
                                    .flags = FUTEX2_32_BITS | (uint32_t)awaited[i].key};
    }
    long rc = kt__syscall(SYS_futex_waitv, waiters, count, 0, as_timespec(deadline, &time), CLOCK_MONOTONIC);
    return rc >= 0 || rc == -EAGAIN ? 0 : (int)rc;
}
