/* The lower bound: clone on a stack that is mapped already, and a wait for its word, without libc's data, a
 * guard, or a change of the signal mask. For functions that need none of these. */
#define _GNU_SOURCE
#include "bench/maker.h"

#include "base/clone.h"

#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Lies at the top of the thread's own stack. */
struct kt__bare {
    kt__word word;
    int32_t tid;
    struct kt__bare *next;
};

enum { ROOM = 64 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct kt__bare *idle; /* guarded by `lock` */

static struct kt__bare *take(void)
{
    pthread_mutex_lock(&lock);
    struct kt__bare *bare = idle;
    if (bare) {
        idle = bare->next;
    }
    pthread_mutex_unlock(&lock);
    if (bare) {
        return bare;
    }
    char *stack = mmap(NULL, KT_BENCH_STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return stack == MAP_FAILED ? NULL : (struct kt__bare *)(void *)(stack + KT_BENCH_STACK - ROOM);
}

static void give(struct kt__bare *bare)
{
    pthread_mutex_lock(&lock);
    bare->next = idle;
    idle = bare;
    pthread_mutex_unlock(&lock);
}

static int start(struct kt__made *made, int (*make)(const struct kt__clone *))
{
    struct kt__bare *bare = take();
    if (!bare) {
        return -ENOMEM;
    }
    char *top = (char *)bare;
    bare->word = 1;
    int rc = make(&(struct kt__clone){
        .flags = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM | CLONE_VM | CLONE_SIGHAND | CLONE_THREAD |
                 CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID,
        .stack_low = top + ROOM - KT_BENCH_STACK,
        .stack_top = top,
        .parent_tid = &bare->tid,
        .child_tid = &bare->word,
        .entry = made->function,
        .argument = made->argument,
    });
    if (rc < 0) {
        give(bare);
        return rc;
    }
    made->bare = bare;
    return 0;
}

int kt__bare_start(struct kt__made *made)
{
    return start(made, kt__clone);
}

int kt__bare3_start(struct kt__made *made)
{
    return start(made, kt__clone3);
}

int kt__bare_join(struct kt__made *made)
{
    uint32_t seen;
    while ((seen = atomic_load(&made->bare->word)) != 0) {
        kt__futex_wait(&made->bare->word, seen, KT_FUTEX_SHARED, -1);
    }
    give(made->bare);
    return 0;
}
