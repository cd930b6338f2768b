/* Adds up an array. Each part is summed by its own kernel thread. */
#define _GNU_SOURCE
#include <kthreads/kthreads.h>
#include <sched.h>
#include <stdio.h>

enum { THREADS = 4, NUMBERS = 1000 };

static uint64_t sum(const uint64_t *numbers, size_t count)
{
    uint64_t total = 0;
    for (size_t i = 0; i < count; i++) {
        total += numbers[i];
    }
    return total;
}

int main(void)
{
    static uint64_t numbers[THREADS * NUMBERS];
    kt_thread *threads[THREADS];
    kt_spec spec = {.flags = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM};
    uint64_t total = 0;
    for (size_t i = 0; i < THREADS * NUMBERS; i++) {
        numbers[i] = i;
    }
    for (size_t t = 0; t < THREADS; t++) {
        kt_call call = {.function = (kt_function)sum,
                        .integers = {(uintptr_t)&numbers[t * NUMBERS], NUMBERS},
                        .kind = KT_RESULT_INTEGER};
        int rc = kt_thread_start(&threads[t], &spec, &call);
        if (rc < 0) {
            fprintf(stderr, "kt_thread_start: %d\n", rc);
            return 1;
        }
    }
    for (size_t t = 0; t < THREADS; t++) {
        kt_outcome outcome;
        while (kt_thread_join(threads[t], -1, &outcome) != 0) { /* interrupted by a signal: join again */
        }
        kt_thread_free(threads[t]);
        total += outcome.result;
    }
    printf("%lu\n", (unsigned long)total);
    return 0;
}
