#include "base/fork.h"

#include "base/mutex.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

static kt__word spawning, reaping, modules; /* taken in this order, before the other */
static kt__word lock;

/* The fork that has all of them. Its thread may run handlers of others after ours, or in the parent or child
 * before ours, and these may start threads: what it holds already it need not take. */
static struct {
    _Atomic(uintptr_t) thread; /* pthread_self() of it; 0 for none */
    int depth;                 /* a handler may fork */
    pid_t parent;
} fork_now;

/* ---- In a fork ----------------------------------------------------------------------------------- */

static bool in_own_fork(void)
{
    uintptr_t thread = atomic_load_explicit(&fork_now.thread, memory_order_relaxed);
    return thread && thread == (uintptr_t)pthread_self();
}

static void (*resets[KT_RESETS])(void); /* guarded by the lock */

void kt__reset_in_child(enum kt__reset what, void (*reset)(void))
{
    resets[what] = reset;
}

/* The first call in a child notices that it is one. */
static void settle(void)
{
    pid_t self = getpid();
    if (self != fork_now.parent) {
        fork_now.parent = self;
        for (int i = 0; i < KT_RESETS; i++) {
            if (resets[i]) {
                resets[i]();
            }
        }
    }
}

static void take(kt__word *mutex)
{
    if (in_own_fork()) {
        settle();
    } else {
        kt__mutex_lock(mutex);
    }
}

static void give(kt__word *mutex)
{
    if (!in_own_fork()) {
        kt__mutex_unlock(mutex);
    }
}

/* ---- The locks ----------------------------------------------------------------------------------- */

void kt__lock(void)
{
    take(&lock);
}

void kt__unlock(void)
{
    give(&lock);
}

bool kt__try_lock_modules(void)
{
    uint32_t free = 0;
    return !in_own_fork() && atomic_compare_exchange_strong(&modules, &free, 1);
}

void kt__unlock_modules(void)
{
    kt__mutex_unlock(&modules);
}

void kt__lock_spawning(void)
{
    take(&spawning);
}

void kt__unlock_spawning(void)
{
    give(&spawning);
}

void kt__lock_reaping(void)
{
    take(&reaping);
}

void kt__unlock_reaping(void)
{
    give(&reaping);
}

/* ---- The handlers -------------------------------------------------------------------------------- */

static void before(void)
{
    kt__lock_spawning();
    take(&reaping);
    take(&modules);
    kt__lock();
    fork_now.parent = getpid();
    fork_now.depth++;
    atomic_store_explicit(&fork_now.thread, (uintptr_t)pthread_self(), memory_order_relaxed);
}

static void after(void)
{
    settle();
    if (--fork_now.depth == 0) {
        atomic_store_explicit(&fork_now.thread, 0, memory_order_relaxed);
        kt__unlock();
        kt__unlock_modules();
        kt__unlock_reaping();
        kt__unlock_spawning();
    }
}

enum { UNREGISTERED, REGISTERING, REGISTERED };

int kt__handle_forks(void)
{
    static _Atomic(int) state = UNREGISTERED;
    int old = UNREGISTERED;
    if (!atomic_compare_exchange_strong(&state, &old, REGISTERING)) {
        return old == REGISTERED ? 0 : -EAGAIN;
    }
    int rc = pthread_atfork(before, after, after);
    atomic_store(&state, rc == 0 ? REGISTERED : UNREGISTERED);
    return -rc;
}

/* As the library is loaded: later, another thread's fork could come between. Before other constructors, so
 * that the handlers that these register are done waiting for anything when ours take the locks. */
static __attribute__((constructor(1000))) void register_handlers(void)
{
    (void)kt__handle_forks();
}
