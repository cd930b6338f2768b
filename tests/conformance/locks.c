/* Mutexes, conditions, semaphores and read-write locks. Each function returns 0, or the line of what did not
 * hold. */
#define _GNU_SOURCE
#include "expect.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <time.h>

static pthread_mutex_t robust;
static pthread_once_t robust_once = PTHREAD_ONCE_INIT;

static void make_robust(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&robust, &attributes);
}

/* Ends as the owner of a robust mutex with priority inheritance; its next owner learns it. */
int a_robust_mutex_outlives_its_owner(void)
{
    pthread_once(&robust_once, make_robust);
    int rc = pthread_mutex_lock(&robust);
    EXPECT(rc == 0 || rc == EOWNERDEAD);
    if (rc == EOWNERDEAD) {
        EXPECT(pthread_mutex_consistent(&robust) == 0);
    }
    return 0;
}

/* For the caller: whether the last owner was found dead. Leaves the mutex free. */
int robust_owner_was_dead(void)
{
    int rc = pthread_mutex_lock(&robust);
    if (rc == EOWNERDEAD) {
        pthread_mutex_consistent(&robust);
    }
    pthread_mutex_unlock(&robust);
    return rc == EOWNERDEAD;
}

int mutexes_of_all_kinds_lock(void)
{
    const int kinds[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK};
    for (size_t i = 0; i < 3; i++) {
        for (int protocol = PTHREAD_PRIO_NONE; protocol <= PTHREAD_PRIO_INHERIT; protocol++) {
            pthread_mutexattr_t attributes;
            pthread_mutex_t mutex;
            pthread_mutexattr_init(&attributes);
            pthread_mutexattr_settype(&attributes, kinds[i]);
            pthread_mutexattr_setprotocol(&attributes, protocol);
            EXPECT(pthread_mutex_init(&mutex, &attributes) == 0);
            EXPECT(pthread_mutex_lock(&mutex) == 0);
            EXPECT(kinds[i] != PTHREAD_MUTEX_ERRORCHECK || pthread_mutex_lock(&mutex) == EDEADLK);
            EXPECT(kinds[i] != PTHREAD_MUTEX_RECURSIVE ||
                   (pthread_mutex_lock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0));
            EXPECT(pthread_mutex_unlock(&mutex) == 0);
            EXPECT(pthread_mutex_destroy(&mutex) == 0);
        }
    }
    return 0;
}

static void *post(void *semaphore)
{
    sem_post(semaphore);
    return NULL;
}

int conditions_semaphores_and_barriers_work_with_pthreads(void)
{
    sem_t semaphore;
    pthread_t helper;
    EXPECT(sem_init(&semaphore, 0, 0) == 0);
    EXPECT(pthread_create(&helper, NULL, post, &semaphore) == 0);
    EXPECT(sem_wait(&semaphore) == 0);
    EXPECT(pthread_join(helper, NULL) == 0);
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec = (soon.tv_nsec + 1000000) % 1000000000;
    pthread_mutex_lock(&mutex);
    int rc = pthread_cond_timedwait(&condition, &mutex, &soon);
    EXPECT(rc == ETIMEDOUT || rc == 0);
    EXPECT(pthread_mutex_unlock(&mutex) == 0);
    pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
    EXPECT(pthread_rwlock_rdlock(&rwlock) == 0 && pthread_rwlock_unlock(&rwlock) == 0);
    EXPECT(pthread_rwlock_wrlock(&rwlock) == 0 && pthread_rwlock_unlock(&rwlock) == 0);
    return 0;
}

int pthread_exit_as_owner_of_a_robust_mutex(void)
{
    EXPECT(a_robust_mutex_outlives_its_owner() == 0);
    pthread_exit(NULL);
}
