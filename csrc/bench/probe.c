/* The memory that the harness shares with the functions it starts, and the smallest operation: a thread with
 * an empty function. */
#define _GNU_SOURCE
#include "bench/probe.h"

#include <sys/mman.h>

struct kt__probe *kt__probe(void)
{
    static struct kt__probe *shared;
    if (!shared) {
        void *memory = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        shared = memory == MAP_FAILED ? NULL : memory;
    }
    return shared;
}

void kt__empty(void *argument)
{
    atomic_fetch_add_explicit(&((struct kt__probe *)argument)->runs, 1, memory_order_relaxed);
}

int64_t kt__create_join(const struct kt__maker *maker, struct kt__probe *shared)
{
    struct kt__made made = {.function = kt__empty, .argument = shared};
    int64_t begin = kt__now();
    int rc = maker->start(&made);
    rc = rc == 0 ? maker->join(&made) : rc;
    return rc < 0 ? rc : kt__now() - begin;
}
