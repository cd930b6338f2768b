#include "fork.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static void (*forget_other_threads)(void);

void kt__lock(void)
{
    pthread_mutex_lock(&lock);
}

void kt__unlock(void)
{
    pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
    forget_other_threads();
    kt__unlock();
}

int kt__fork_handlers(void (*child)(void))
{
    forget_other_threads = child;
    return -pthread_atfork(kt__lock, kt__unlock, in_child);
}
