/* Thread-local storage: errno, thread-locals, the canary of the stack protector. Each function returns 0, or
 * the line of what did not hold. */
#define _GNU_SOURCE
#include "expect.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static _Thread_local int initialised = 42, zero;
static _Thread_local char aligned_64[64] __attribute__((aligned(64)));

int errno_is_private(void)
{
    EXPECT(errno == 0);
    close(-1);
    EXPECT(errno == EBADF);
    return 0;
}

int thread_locals_have_their_initial_values(void)
{
    EXPECT(initialised == 42 && zero == 0);
    EXPECT((uintptr_t)aligned_64 % 64 == 0);
    initialised = zero = 7;
    memset(aligned_64, 7, sizeof aligned_64);
    return 0;
}

int the_stack_protector_holds(void)
{
    volatile char buffer[64];
    for (size_t i = 0; i < sizeof buffer; i++) {
        buffer[i] = (char)i;
    }
    EXPECT(buffer[63] == 63);
    return 0;
}
