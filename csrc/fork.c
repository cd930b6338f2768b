#include "fork.h"

#include "mutex.h"

#include <pthread.h>

static kt__word probing; /* taken before the other */
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

static void before(void)
{
    kt__lock_probing();
    kt__lock();
}

static void in_parent(void)
{
    kt__unlock();
    kt__unlock_probing();
}

static void in_child(void)
{
    kt__forget_other_threads();
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
