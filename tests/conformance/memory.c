/* Memory: malloc, the stack, random numbers. Each function returns 0, or the line of what did not hold. */
#define _GNU_SOURCE
#include "expect.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

int malloc_serves_all_sizes(void)
{
    void *blocks[200];
    for (size_t i = 0; i < 200; i++) {
        size_t size = i % 20 == 0 ? 300000 : 16 + i * 37;
        EXPECT((blocks[i] = malloc(size)) != NULL);
        memset(blocks[i], (int)i, size);
    }
    for (size_t i = 0; i < 200; i++) {
        EXPECT(*(unsigned char *)blocks[i] == (unsigned char)i);
        blocks[i] = realloc(blocks[i], 64);
        EXPECT(*(unsigned char *)blocks[i] == (unsigned char)i);
        free(blocks[i]);
    }
    void *aligned;
    EXPECT(posix_memalign(&aligned, 4096, 5000) == 0 && (uintptr_t)aligned % 4096 == 0);
    free(aligned);
    return 0;
}

int the_stack_is_as_large_as_it_says(void)
{
    pthread_attr_t attributes;
    void *low;
    size_t size, guard;
    char here;
    EXPECT(pthread_getattr_np(pthread_self(), &attributes) == 0);
    EXPECT(pthread_attr_getstack(&attributes, &low, &size) == 0);
    EXPECT(pthread_attr_getguardsize(&attributes, &guard) == 0);
    pthread_attr_destroy(&attributes);
    EXPECT(&here > (char *)low && &here < (char *)low + size);
    EXPECT(&here - (char *)low >= 200 * 1024); /* of 256 KiB */
    volatile char *deep = __builtin_alloca(200 * 1024);
    for (size_t i = 0; i < 200 * 1024; i += 4096) {
        deep[i] = 1;
    }
    return 0;
}

int random_numbers_come(void)
{
    char a[16] = {0}, b[16] = {0};
    EXPECT(getrandom(a, sizeof a, 0) == sizeof a && getrandom(b, sizeof b, 0) == sizeof b);
    EXPECT(memcmp(a, b, sizeof a) != 0);
    uint32_t (*arc4random)(void);
    *(void **)&arc4random = dlsym(RTLD_DEFAULT, "arc4random"); /* glibc 2.36 */
    EXPECT(!arc4random || arc4random() != arc4random() || arc4random() != arc4random());
    return 0;
}
