/* What matters before a program's first thread. Its thread-local variables are large. */
#include "cases.h"

#include <limits.h>
#include <sys/mman.h>

enum { STACK = 512 << 10 };

/* Makes libc's data of a thread large. */
static _Thread_local volatile char large[48 << 10];

static void the_smallest_stack_of_the_creator_that_libc_takes_is_enough(void)
{
    enum { STEP = 1024, SPARE = 2048 };
    pthread_attr_t attributes;
    pthread_t thread;
    char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    size_t size = sizeof large;
    large[0] = 1;
    CHECK(pthread_attr_init(&attributes) == 0);
    do {
        size += STEP;
        CHECK(size < STACK && pthread_attr_setstack(&attributes, stack, size) == 0);
    } while (pthread_create(&thread, &attributes, same, stack) == EINVAL);
    CHECK(joined(thread) == stack);
    CHECK(pthread_attr_setstack(&attributes, stack, size + SPARE) == 0);
    CHECK(joined(make(&attributes, same, stack)) == stack);
}

static void a_program_that_has_used_up_all_keys_makes_threads(void)
{
    pthread_key_t keys[PTHREAD_KEYS_MAX];
    int count = 0;
    while (count < PTHREAD_KEYS_MAX && pthread_key_create(&keys[count], NULL) == 0) {
        count++;
    }
    CHECK(joined(make(NULL, same, &count)) == &count);
    while (count > 0) {
        CHECK(pthread_key_delete(keys[--count]) == 0);
    }
    CHECK(joined(make(NULL, same, &count)) == &count);
}

static const struct named_case cases[] = {
    CASE(the_smallest_stack_of_the_creator_that_libc_takes_is_enough),
    CASE(a_program_that_has_used_up_all_keys_makes_threads),
};

MAIN(cases)
