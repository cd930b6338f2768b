/* `made_and_joined N`: makes N pthreads and joins each. `made_and_joined N WORK`: makes N, which compute side
 * by side, and then joins them. */
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

static void *compute(void *rounds)
{
    uint64_t state = 1;
    for (uintptr_t i = 0; i < (uintptr_t)rounds; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
    }
    return (void *)(uintptr_t)state;
}

static int run(size_t at_once, size_t times, uintptr_t rounds)
{
    pthread_t *threads = calloc(at_once, sizeof *threads);
    for (size_t time = 0; threads && time < times; time++) {
        for (size_t i = 0; i < at_once; i++) {
            if (pthread_create(&threads[i], NULL, compute, (void *)rounds) != 0) {
                return 1;
            }
        }
        for (size_t i = 0; i < at_once; i++) {
            pthread_join(threads[i], NULL);
        }
    }
    free(threads);
    return 0;
}

int main(int count, char **words)
{
    if (count < 2) {
        return 2;
    }
    size_t threads = strtoul(words[1], NULL, 10);
    return count > 2 ? run(threads, 1, strtoul(words[2], NULL, 10)) : run(1, threads, 0);
}
