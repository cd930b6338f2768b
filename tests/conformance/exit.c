/* pthread_exit, jumps, contexts and backtraces. Each function returns 0, or the line of what did not hold. */
#define _GNU_SOURCE
#include "expect.h"

#include <execinfo.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <ucontext.h>

static _Atomic(int) cleanups;

static void clean_up(void *argument)
{
    (void)argument;
    cleanups++;
}

int pthread_exit_ends_the_thread(void)
{
    pthread_cleanup_push(clean_up, NULL);
    pthread_exit(NULL);
    pthread_cleanup_pop(0);
    return __LINE__;
}

int take_cleanups(void)
{
    return atomic_exchange(&cleanups, 0);
}

int jumps_and_contexts_switch(void)
{
    static _Thread_local jmp_buf place;
    volatile int jumps = 0;
    if (setjmp(place) < 3) {
        jumps++;
        longjmp(place, jumps);
    }
    EXPECT(jumps == 3);
    return 0;
}

static _Thread_local ucontext_t outside, inside;
static _Thread_local int switched;

static void in_context(void)
{
    switched = 1;
    swapcontext(&inside, &outside);
}

int ucontexts_switch(void)
{
    static _Thread_local char stack[65536];
    EXPECT(getcontext(&inside) == 0);
    inside.uc_stack.ss_sp = stack;
    inside.uc_stack.ss_size = sizeof stack;
    inside.uc_link = &outside;
    makecontext(&inside, in_context, 0);
    switched = 0;
    EXPECT(swapcontext(&outside, &inside) == 0);
    EXPECT(switched == 1);
    return 0;
}

int a_backtrace_ends(void)
{
    void *frames[64];
    int depth = backtrace(frames, 64);
    EXPECT(depth >= 2 && depth < 20);
    return 0;
}
