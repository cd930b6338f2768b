/* Times a start and a join of an empty function, made in several ways, side by side.
 *
 *     create_join [--cpu N] [--rounds N] [KIND...]
 *
 * Rounds of BATCH operations of each kind, kinds in a new random order each round. Prints JSON: for each
 * kind the times of a round's batch in ns an operation, so that rounds can be compared in pairs. */
#define _GNU_SOURCE
#include "clone.h"

#include <kthreads/kthreads.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { BATCH = 50, STACK = 262144, SHARED = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM };

static void check(int ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

/* ---- What is started ------------------------------------------------------------------------------ */

static _Atomic(long) runs; /* proves that every side did the same work */

static void empty(void)
{
    atomic_fetch_add_explicit(&runs, 1, memory_order_relaxed);
}

static void start_and_join(int backend, uint32_t options)
{
    kt_thread *thread;
    kt_spec spec = {.flags = SHARED, .backend = backend, .options = options, .stack_size = STACK};
    kt_call call = {.function = empty};
    check(kt_thread_start(&thread, &spec, &call) == 0, "kt_thread_start");
    check(kt_thread_wait(thread, -1, NULL) == 0, "kt_thread_wait");
    kt_thread_free(thread);
}

static void by_clone(void)
{
    start_and_join(KT_BACKEND_CLONE, 0);
}

static void by_clone3(void)
{
    start_and_join(KT_BACKEND_CLONE3, 0);
}

static void by_reuse(void)
{
    start_and_join(KT_BACKEND_CLONE, KT_OPTION_REUSE);
}

static void by_bare_backend(void)
{
    start_and_join(KT_BACKEND_BARE_WITHOUT_LIBC, 0);
}

static void *empty_of_pthread(void *argument)
{
    empty();
    return argument;
}

static void by_pthread(void)
{
    static pthread_attr_t attributes;
    static int ready;
    pthread_t thread;
    if (!ready) {
        pthread_attr_init(&attributes);
        pthread_attr_setstacksize(&attributes, STACK);
        ready = 1;
    }
    check(pthread_create(&thread, &attributes, empty_of_pthread, NULL) == 0, "pthread_create");
    check(pthread_join(thread, NULL) == 0, "pthread_join");
}

/* The floor: clone on one stack and a wait on its word, with nothing around it. */
static void empty_of_clone(void *argument)
{
    (void)argument;
    empty();
}

static void by_bare_clone(void)
{
    static char *stack;
    static kt__word word;
    int32_t tid;
    uint32_t seen;
    if (!stack) {
        stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        check(stack != MAP_FAILED, "mmap");
    }
    word = 1;
    check(kt__clone(&(struct kt__clone){
              .flags = SHARED | CLONE_VM | CLONE_SIGHAND | CLONE_THREAD | CLONE_CHILD_SETTID |
                       CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID,
              .stack_low = stack,
              .stack_top = stack + STACK,
              .parent_tid = &tid,
              .child_tid = &word,
              .entry = empty_of_clone,
          }) > 0,
          "clone");
    while ((seen = atomic_load(&word)) != 0) {
        kt__futex_wait(&word, seen, KT_FUTEX_SHARED, -1);
    }
}

static const struct kind {
    const char *name;
    void (*operation)(void);
} kinds[] = {
    {"pthread", by_pthread}, {"clone", by_clone},           {"clone3", by_clone3},
    {"reuse", by_reuse},     {"bare_clone", by_bare_clone}, {"bare_backend", by_bare_backend},
};

enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* ---- Rounds ----------------------------------------------------------------------------------------- */

static double batch_ns(const struct kind *kind, int operations)
{
    struct timespec begin, end;
    long before = runs;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (int i = 0; i < operations; i++) {
        kind->operation();
    }
    clock_gettime(CLOCK_MONOTONIC, &end);
    check(runs - before == operations, kind->name);
    return ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) / operations;
}

static void shuffle(int *order, int count)
{
    for (int i = count - 1; i > 0; i--) {
        int j = rand() % (i + 1), swapped = order[i];
        order[i] = order[j];
        order[j] = swapped;
    }
}

static int kind_named(const char *name)
{
    for (int k = 0; k < KINDS; k++) {
        if (strcmp(kinds[k].name, name) == 0) {
            return k;
        }
    }
    fprintf(stderr, "create_join: no kind %s\n", name);
    exit(2);
}

static void measure(int *chosen, int count, int rounds)
{
    double *times = calloc((size_t)rounds * KINDS, sizeof *times);
    check(times != NULL, "calloc");
    for (int round = -3; round < rounds; round++) { /* three to warm up */
        shuffle(chosen, count);
        for (int i = 0; i < count; i++) {
            double ns = batch_ns(&kinds[chosen[i]], BATCH);
            if (round >= 0) {
                times[chosen[i] * rounds + round] = ns;
            }
        }
    }
    for (int i = 0; i < count; i++) {
        printf("%s\"%s\": [", i ? ",\n" : "{", kinds[chosen[i]].name);
        for (int round = 0; round < rounds; round++) {
            printf("%s%.1f", round ? ", " : "", times[chosen[i] * rounds + round]);
        }
        printf("]");
    }
    printf("}\n");
    free(times);
}

static void pin(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    check(sched_setaffinity(0, sizeof set, &set) == 0, "sched_setaffinity");
}

int main(int count, char **arguments)
{
    int chosen[KINDS], chosen_count = 0, rounds = 200;
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--cpu") == 0 && i + 1 < count) {
            pin(atoi(arguments[++i]));
        } else if (strcmp(arguments[i], "--rounds") == 0 && i + 1 < count) {
            rounds = atoi(arguments[++i]);
        } else if (chosen_count < KINDS) {
            chosen[chosen_count++] = kind_named(arguments[i]);
        }
    }
    if (chosen_count == 0) {
        for (int k = 0; k < KINDS; k++) {
            chosen[chosen_count++] = k;
        }
    }
    check(kt_libc_probe(NULL) == 0, "kt_libc_probe");
    measure(chosen, chosen_count, rounds);
    return 0;
}
