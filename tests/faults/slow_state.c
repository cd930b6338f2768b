/* Preloaded, it makes a thread that makes its Python state wait for a fork by another thread, while it holds
 * the lock of CPython's list of interpreters (3.11: a semaphore, which it gives back by sem_post); not for
 * ever, as the fork may wait for the thread. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

enum { A_MILLISECOND = 1000000, MILLISECONDS = 500 };

static atomic_int armed, forks;
static atomic_int waits;
static void *(*state_of_this_thread)(void); /* PyGILState_GetThisThreadState */

static void wait_for_fork(void)
{
    const struct timespec a_while = {0, A_MILLISECOND};
    int before = atomic_load(&forks);
    atomic_store(&waits, 1);
    for (int i = 0; i < MILLISECONDS && atomic_load(&forks) == before; i++) {
        nanosleep(&a_while, NULL);
    }
}

int sem_post(sem_t *semaphore)
{
    static int (*original)(sem_t *);
    if (!original) {
        *(void **)&original = dlsym(RTLD_NEXT, "sem_post");
    }
    if (atomic_load(&armed) && !state_of_this_thread() && atomic_exchange(&armed, 0)) {
        wait_for_fork();
    }
    return original(semaphore);
}

static void count_fork(void)
{
    atomic_fetch_add(&forks, 1);
}

void arm(void)
{
    *(void **)&state_of_this_thread = dlsym(RTLD_DEFAULT, "PyGILState_GetThisThreadState");
    pthread_atfork(NULL, count_fork, NULL);
    atomic_store(&armed, 1);
}

/* Until it waits; 0 where no thread comes by: this Python has other locks. */
int await_thread(void)
{
    const struct timespec a_while = {0, A_MILLISECOND};
    for (int i = 0; i < 10 * MILLISECONDS && !atomic_load(&waits); i++) {
        nanosleep(&a_while, NULL);
    }
    return atomic_load(&waits);
}
