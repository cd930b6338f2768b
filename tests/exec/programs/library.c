/* A library whose constructor makes a thread and joins it. */
#include <pthread.h>

static int value;

static void *compute(void *to)
{
    *(int *)to = 42;
    return to;
}

static __attribute__((constructor)) void begin(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, compute, &value) == 0) {
        pthread_join(thread, NULL);
    }
}

int *answer(void)
{
    return &value;
}
