/* The lives of threads, in a file that all processes of the program share. */
#define _GNU_SOURCE
#include "preload/preload.h"

#include "base/futex.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static kt_statistics *statistics;
static uint32_t image;

/* Numbers of lives, plus 1, by the idents of their threads. A thread whose place is taken loses it: its join
 * is then not recorded. */
enum { PLACES_BITS = 16 };
static _Atomic(uint32_t) places[1 << PLACES_BITS];

/* The idents of threads that were detached before they began. */
static _Atomic(uintptr_t) detached_early[1 << PLACES_BITS];

static size_t place_of(uintptr_t ident)
{
    const uint64_t golden_ratio = 0x9e3779b97f4a7c15;
    return (size_t)((uint64_t)ident * golden_ratio >> (64 - PLACES_BITS));
}

static kt_life *life_at(uint32_t number)
{
    return (kt_life *)(void *)((char *)statistics + KT_STATISTICS_HEAD) + number;
}

static void count_image(void)
{
    image = __atomic_fetch_add(&statistics->images, 1, __ATOMIC_RELAXED);
}

static bool is_usable(const kt_statistics *found, size_t size)
{
    return found->magic == KT_STATISTICS_MAGIC && found->capacity &&
           found->capacity <= (size - KT_STATISTICS_HEAD) / sizeof(kt_life);
}

/* A process that cannot open the file, as it is in another root, runs without statistics. */
void kt__lives_open(const char *path)
{
    struct stat file;
    int fd = path[0] ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) {
        return;
    }
    if (fstat(fd, &file) == 0 && file.st_size > KT_STATISTICS_HEAD) {
        void *mapped = mmap(NULL, (size_t)file.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (mapped != MAP_FAILED && is_usable(mapped, (size_t)file.st_size)) {
            statistics = mapped;
            count_image();
            pthread_atfork(NULL, NULL, count_image);
        }
    }
    close(fd);
}

kt_life *kt__life_new(kt_routine routine, void *argument)
{
    if (!statistics) {
        return NULL;
    }
    uint32_t number = __atomic_fetch_add(&statistics->threads, 1, __ATOMIC_RELAXED);
    if (number >= statistics->capacity) {
        return NULL;
    }
    kt_life *life = life_at(number);
    life->create_ns = kt__now();
    life->pid = getpid();
    life->image = image;
    life->routine = (uintptr_t)routine;
    life->argument = (uintptr_t)argument;
    return life;
}

kt_life *kt__life_of(pthread_t ident)
{
    uint32_t number = statistics ? atomic_load(&places[place_of(ident)]) : 0;
    kt_life *life = number ? life_at(number - 1) : NULL;
    if (!life || life->ident != ident || life->image != image) {
        return NULL;
    }
    /* A thread that begins on the stack of an ended one has its ident, and perhaps has not stored its own
     * life yet. */
    return life->joined_ns || life->detached ? NULL : life;
}

static void take_early_detachment(kt_life *life)
{
    uintptr_t ident = life->ident;
    if (atomic_compare_exchange_strong(&detached_early[place_of(ident)], &ident, 0)) {
        life->detached = 1;
    }
}

/* The thread stores its place and then looks for a detachment; this stores the detachment and then looks for
 * the place. As these accesses are sequentially consistent, at least one sees the other. */
void kt__life_detached(pthread_t ident, kt_life *life)
{
    if (!life && statistics) {
        atomic_store(&detached_early[place_of(ident)], ident);
        life = kt__life_of(ident);
        if (life) {
            take_early_detachment(life);
        }
    } else if (life) {
        life->detached = 1;
    }
}

static void begin_life(kt_life *life)
{
    life->begin_ns = kt__now();
    life->tid = gettid();
    life->ident = pthread_self();
    kt_thread *thread = life->handed ? NULL : kt_thread_of(life->ident);
    if (thread) {
        life->flags = kt_thread_flags(thread);
        life->reused = (uint8_t)kt_thread_reused(thread);
    }
    atomic_store(&places[place_of(life->ident)], (uint32_t)(life - life_at(0)) + 1);
    take_early_detachment(life);
}

/* A thread that has forked ends its life in the parent alone. */
static void end_life(void *argument)
{
    kt_life *life = argument;
    if (life->image == image) {
        life->end_ns = kt__now();
    }
}

void *kt__life_lead(void *argument)
{
    kt_life *life = argument;
    void *result;
    begin_life(life);
    pthread_cleanup_push(end_life, life);
    result = ((kt_routine)(uintptr_t)life->routine)((void *)(uintptr_t)life->argument);
    pthread_cleanup_pop(1);
    return result;
}
