#include "base/fork.h"

#include "base/mutex.h"

#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <unistd.h>

static kt__word spawning, reaping, modules; /* locked in this order, before `lock` */
static kt__word lock;

/* The fork in progress. The thread that forks holds all the locks. Other libraries have fork handlers that
 * run on this thread while it holds them: before the fork they run after the engine's handler, and after the
 * fork before it. Such a handler may start threads, so the thread must not lock what it already holds. */
static struct {
    _Atomic(uintptr_t) thread; /* pthread_self() of the thread that forks; 0 while no fork is in progress */
    int depth;                 /* how many forks deep: a handler may fork */
    pid_t parent;
} fork_now;

static bool in_own_fork(void)
{
    uintptr_t thread = atomic_load_explicit(&fork_now.thread, memory_order_relaxed);
    return thread && thread == (uintptr_t)pthread_self();
}

static void (*resets[KT_RESETS])(void); /* guarded by `lock` */

void kt__reset_in_child(enum kt__reset what, void (*reset)(void))
{
    resets[what] = reset;
}

/* Resets the engine's state in a child of a fork. The first call in the child finds out by the pid that it is
 * one. */
static __attribute__((noinline, cold)) void reset_if_child(void)
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

static void acquire(kt__word *mutex)
{
    if (in_own_fork()) {
        reset_if_child();
    } else {
        kt__mutex_lock(mutex);
    }
}

static void release(kt__word *mutex)
{
    if (!in_own_fork()) {
        kt__mutex_unlock(mutex);
    }
}

void kt__lock(void)
{
    acquire(&lock);
}

void kt__unlock(void)
{
    release(&lock);
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
    acquire(&spawning);
}

void kt__unlock_spawning(void)
{
    release(&spawning);
}

void kt__lock_reaping(void)
{
    acquire(&reaping);
}

void kt__unlock_reaping(void)
{
    release(&reaping);
}

static void before_fork(void)
{
    kt__lock_spawning();
    acquire(&reaping);
    acquire(&modules);
    kt__lock();
    fork_now.parent = getpid();
    fork_now.depth++;
    atomic_store_explicit(&fork_now.thread, (uintptr_t)pthread_self(), memory_order_relaxed);
}

static void after_fork(void)
{
    reset_if_child();
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
    int rc = pthread_atfork(before_fork, after_fork, after_fork);
    atomic_store(&state, rc == 0 ? REGISTERED : UNREGISTERED);
    return -rc;
}

/* The handlers are registered when the library is loaded: later, another thread could fork before they are
 * registered. The priority puts this constructor before those of other libraries. Their handlers are then
 * registered later, and run before the engine's handler before a fork: they have finished any waiting when
 * the engine's handler locks the mutexes. */
static __attribute__((constructor(1000))) void register_handlers(void)
{
    (void)kt__handle_forks();
}
