/* Makes 1,000 threads, one after the other, and joins each. */
#include <pthread.h>
#include <stdio.h>

static void *increment(void *number)
{
    ++*(long *)number;
    return number;
}

int main(void)
{
    long number = 0;
    for (int i = 0; i < 1000; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, increment, &number) != 0) {
            return 1;
        }
        pthread_join(thread, NULL);
    }
    printf("%ld\n", number);
    return 0;
}
