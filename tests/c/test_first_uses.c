/* Threads that are the first to use the engine, at the same time. Each examines libc by itself, while the
 * others make and end libc's threads. */
#define _GNU_SOURCE
#include "test.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

enum { THREADS = 6 };

static pthread_barrier_t begin;

static void *use(void *unused)
{
    pthread_barrier_wait(&begin);
    int rc = kt_libc_probe(NULL);
    CHECK(rc == 0 || (rc == -ENOTSUP && kt_libc_missing()));
    return unused;
}

static void use_at_once(void)
{
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_create(&threads[i], NULL, use, NULL) == 0);
    }
    for (int i = 0; i < THREADS; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
}

static void first_uses_at_once_come_to_an_end(void)
{
    pthread_barrier_init(&begin, NULL, THREADS);
    /* An emulator or Valgrind makes some ten processes a second, the machine itself several hundred. */
    const time_t seconds = 10;
    time_t end = time(NULL) + seconds;
    for (int i = 0; i < 400 && time(NULL) < end; i++) {
        pass_in_a_process("use_at_once", use_at_once);
    }
}

int main(void)
{
    RUN(first_uses_at_once_come_to_an_end);
    return 0;
}
