/* A program of named cases. With the name of one it runs that, without it prints all names. A case that ends
 * in another way than by its end has failed. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                    \
            _exit(1);                                                                                        \
        }                                                                                                    \
    } while (0)

struct named_case {
    const char *name;
    void (*run)(void);
};

#define CASE(name) {#name, name}

static inline int run_cases(const struct named_case *cases, int count, char **words)
{
    for (int i = 0; i < count; i++) {
        if (!words[1]) {
            puts(cases[i].name);
        } else if (strcmp(words[1], cases[i].name) == 0) {
            cases[i].run();
            puts("ok");
            return 0;
        }
    }
    return words[1] ? 2 : 0;
}

#define MAIN(cases)                                                                                          \
    int main(int count, char **words)                                                                        \
    {                                                                                                        \
        (void)count;                                                                                         \
        return run_cases(cases, (int)(sizeof(cases) / sizeof(cases)[0]), words);                             \
    }

static inline pthread_t make(const pthread_attr_t *attributes, void *(*routine)(void *), void *argument)
{
    pthread_t thread;
    CHECK(pthread_create(&thread, attributes, routine, argument) == 0);
    return thread;
}

static inline void *joined(pthread_t thread)
{
    void *value;
    CHECK(pthread_join(thread, &value) == 0);
    return value;
}

static inline void *same(void *argument)
{
    return argument;
}

/* Waits until a thread sleeps. */
static inline void await_sleep(pid_t tid)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)tid);
    while (state != 'S') {
        sched_yield();
        FILE *file = fopen(path, "r");
        CHECK(file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
        fclose(file);
    }
}

/* Returns when another thread has set the word. */
static inline void *wait_at(void *argument)
{
    atomic_int *gate = argument;
    while (!atomic_load(gate)) {
        sched_yield();
    }
    return argument;
}

static inline void *sleep_for_ever(void *unused)
{
    for (;;) {
        pause();
    }
    return unused;
}

/* A time of this clock, `ns` from now. */
static inline struct timespec from_now(clockid_t clock, long ns)
{
    struct timespec time;
    clock_gettime(clock, &time);
    long sum = time.tv_nsec + ns;
    time.tv_sec += sum / 1000000000 - (sum < 0 && sum % 1000000000);
    time.tv_nsec = (sum % 1000000000 + 1000000000) % 1000000000;
    return time;
}
