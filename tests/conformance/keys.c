/* Keys of pthreads: values and destructors. Each function returns 0, or the line of what did not hold. */
#define _GNU_SOURCE
#include "expect.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

enum { KEYS = 100 }; /* more than the 32 that the descriptor itself has room for */

static pthread_key_t keys[KEYS];
static pthread_once_t keys_once = PTHREAD_ONCE_INIT;
static _Atomic(int) key_destructions;

static void destroy_value(void *value)
{
    if ((intptr_t)value < 1000) { /* once more, as a destructor that sets a value again */
        for (int i = 0; i < KEYS; i++) {
            if (i + 1 == (intptr_t)value) {
                pthread_setspecific(keys[i], (void *)((intptr_t)value + 1000));
            }
        }
    }
    key_destructions++;
}

static void make_keys(void)
{
    for (int i = 0; i < KEYS; i++) {
        pthread_key_create(&keys[i], destroy_value);
    }
}

int a_hundred_keys_start_empty_and_hold_values(void)
{
    pthread_once(&keys_once, make_keys);
    for (intptr_t i = 0; i < KEYS; i++) {
        EXPECT(pthread_getspecific(keys[i]) == NULL);
        EXPECT(pthread_setspecific(keys[i], (void *)(i + 1)) == 0);
    }
    return 0;
}

/* For the caller, after the threads have been joined: how many destructors ran since the last time. */
int take_key_destructions(void)
{
    return atomic_exchange(&key_destructions, 0);
}

int pthread_exit_with_a_hundred_values(void)
{
    EXPECT(a_hundred_keys_start_empty_and_hold_values() == 0);
    pthread_exit(NULL);
}
