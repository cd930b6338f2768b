#include "fork.h"

#include "mutex.h"

#include <pthread.h>

static kt__word spawning, reaping, probing; /* taken in this order, before the other */
static kt__word lock;
static int registered;

void kt__lock(void)
{
    kt__mutex_lock(&lock);
}

void kt__unlock(void)
{
    kt__mutex_unlock(&lock);
}

void kt__lock_probing(void)
{
    kt__mutex_lock(&probing);
}

void kt__unlock_probing(void)
{
    kt__mutex_unlock(&probing);
}

void kt__lock_spawning(void)
{
    kt__mutex_lock(&spawning);
}

void kt__unlock_spawning(void)
{
    kt__mutex_unlock(&spawning);
}

void kt__lock_reaping(void)
{
    kt__mutex_lock(&reaping);
}

void kt__unlock_reaping(void)
{
    kt__mutex_unlock(&reaping);
}

static void before(void)
{
    kt__lock_spawning();
    kt__lock_reaping();
    kt__lock_probing();
    kt__lock();
}

static void in_parent(void)
{
    kt__unlock();
    kt__unlock_probing();
    kt__unlock_reaping();
    kt__unlock_spawning();
}

static void in_child(void)
{
    kt__forget_other_threads();
    kt__forget_pool_threads();
    in_parent();
}

/* As the library is loaded: later, another thread's fork could come between. */
static __attribute__((constructor)) void register_handlers(void)
{
    registered = pthread_atfork(before, in_parent, in_child);
}

bool kt__fork_handled(void)
{
    return registered == 0;
}
