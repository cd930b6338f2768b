/* The attributes of threads, and what pthread_getattr_np says of them. */
#include "cases.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

enum { STACK = 512 << 10 };

static pthread_attr_t fresh(void)
{
    pthread_attr_t attributes;
    CHECK(pthread_attr_init(&attributes) == 0);
    return attributes;
}

static pthread_attr_t of_this_thread(void)
{
    pthread_attr_t attributes;
    CHECK(pthread_getattr_np(pthread_self(), &attributes) == 0);
    return attributes;
}

/* Uses nearly all of a stack of that size. */
static void *use_stack(void *size)
{
    volatile char frame[(size_t)size - (16 << 10)];
    for (size_t i = 0; i < sizeof frame; i += 1024) {
        frame[i] = 1;
    }
    return size;
}

static void *stack_size_here(void *unused)
{
    (void)unused;
    size_t size;
    pthread_attr_t attributes = of_this_thread();
    CHECK(pthread_attr_getstacksize(&attributes, &size) == 0);
    return (void *)size;
}

static void a_stack_is_as_large_as_asked_for(void)
{
    pthread_attr_t attributes = fresh();
    const size_t sizes[] = {64 << 10, 1 << 20, (1 << 20) + 4096, 32 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        CHECK(pthread_attr_setstacksize(&attributes, sizes[i]) == 0);
        size_t there = (size_t)joined(make(&attributes, stack_size_here, NULL));
        CHECK(there == sizes[i]);
        joined(make(&attributes, use_stack, (void *)sizes[i]));
    }
}

static void the_default_size_is_that_of_libc_and_can_be_set(void)
{
    pthread_attr_t attributes = fresh();
    size_t size;
    CHECK(pthread_attr_getstacksize(&attributes, &size) == 0);
    CHECK((size_t)joined(make(NULL, stack_size_here, NULL)) == size);
    CHECK(pthread_attr_setstacksize(&attributes, 256 << 10) == 0);
    CHECK(pthread_setattr_default_np(&attributes) == 0);
    CHECK((size_t)joined(make(NULL, stack_size_here, NULL)) == 256 << 10);
}

static void *address_of_a_local(void *unused)
{
    char local;
    char *volatile address = &local;
    (void)unused;
    return address;
}

static void a_thread_runs_on_the_stack_of_its_creator(void)
{
    char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attributes = fresh();
    CHECK(pthread_attr_setstack(&attributes, stack, STACK) == 0);
    for (int round = 0; round < 3; round++) {
        char *local = joined(make(&attributes, address_of_a_local, NULL));
        CHECK(local >= stack && local < stack + STACK);
    }
    CHECK(munmap(stack, STACK) == 0);
    joined(make(NULL, same, NULL));
}

static void *tell(void *argument)
{
    atomic_store((atomic_int *)argument, 1);
    return NULL;
}

static void a_detached_thread_runs_on_the_stack_of_its_creator(void)
{
    static atomic_int told;
    char *stack = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attributes = fresh();
    CHECK(pthread_attr_setstack(&attributes, stack, STACK) == 0);
    CHECK(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
    make(&attributes, tell, &told);
    wait_at(&told);
}

static void a_small_stack_of_the_creator_is_enough(void)
{
    char *stack = mmap(NULL, PTHREAD_STACK_MIN, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_attr_t attributes = fresh();
    CHECK(pthread_attr_setstack(&attributes, stack, PTHREAD_STACK_MIN) == 0);
    CHECK(joined(make(&attributes, same, stack)) == stack);
}

static __attribute__((noinline)) void touch(volatile char *address)
{
    *address = 1;
}

/* Touches the byte that is that far below the stack. */
static void *touch_below(void *distance)
{
    pthread_attr_t attributes = of_this_thread();
    void *low;
    size_t size;
    CHECK(pthread_attr_getstack(&attributes, &low, &size) == 0);
    touch((char *)low - (size_t)distance);
    return NULL;
}

static void the_guard_is_as_large_as_asked_for(void)
{
    enum { GUARD = 64 << 10 };
    int status;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_DUMPABLE, 0);
        pthread_attr_t attributes = fresh();
        pthread_attr_setguardsize(&attributes, GUARD);
        joined(make(&attributes, touch_below, (void *)GUARD));
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void *guard_size_here(void *unused)
{
    (void)unused;
    size_t size;
    pthread_attr_t attributes = of_this_thread();
    CHECK(pthread_attr_getguardsize(&attributes, &size) == 0);
    return (void *)size;
}

static void a_thread_is_told_the_size_of_its_guard(void)
{
    pthread_attr_t attributes = fresh();
    CHECK(pthread_attr_setguardsize(&attributes, 64 << 10) == 0);
    CHECK((size_t)joined(make(&attributes, guard_size_here, NULL)) == 64 << 10);
    CHECK((size_t)joined(make(NULL, guard_size_here, NULL)) >= 4096);
}

static atomic_int state_told;

static void *tell_state(void *gate)
{
    int state;
    wait_at(gate);
    pthread_attr_t attributes = of_this_thread();
    CHECK(pthread_attr_getdetachstate(&attributes, &state) == 0);
    atomic_store(&state_told, state == PTHREAD_CREATE_DETACHED ? 2 : 1);
    return NULL;
}

static void expect_state(int wanted)
{
    while (!atomic_load(&state_told)) {
        sched_yield();
    }
    CHECK(atomic_exchange(&state_told, 0) == wanted);
}

static void a_thread_is_told_whether_it_is_detached(void)
{
    atomic_int gate = 1, later = 0;
    pthread_attr_t attributes = fresh();
    joined(make(NULL, tell_state, &gate));
    expect_state(1);
    CHECK(pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED) == 0);
    make(&attributes, tell_state, &gate);
    expect_state(2);
    CHECK(pthread_detach(make(NULL, tell_state, &later)) == 0);
    atomic_store(&later, 1);
    expect_state(2);
}

static void *cpus_here(void *unused)
{
    cpu_set_t set;
    (void)unused;
    CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
    return (void *)(intptr_t)CPU_COUNT(&set);
}

static int first_cpu(void)
{
    cpu_set_t set;
    CHECK(sched_getaffinity(0, sizeof set, &set) == 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &set)) {
            return cpu;
        }
    }
    return -1;
}

static void a_thread_has_the_affinity_of_its_attributes(void)
{
    cpu_set_t one;
    pthread_attr_t attributes = fresh();
    CPU_ZERO(&one);
    CPU_SET(first_cpu(), &one);
    CHECK(pthread_attr_setaffinity_np(&attributes, sizeof one, &one) == 0);
    CHECK(joined(make(&attributes, cpus_here, NULL)) == (void *)1);
    CHECK(joined(make(NULL, cpus_here, NULL)) == cpus_here(NULL));
}

static void an_affinity_with_cpus_that_are_not_there_is_refused(void)
{
    cpu_set_t far;
    pthread_t thread;
    pthread_attr_t attributes = fresh();
    CPU_ZERO(&far);
    CPU_SET(CPU_SETSIZE - 1, &far);
    CHECK(pthread_attr_setaffinity_np(&attributes, sizeof far, &far) == 0);
    CHECK(pthread_create(&thread, &attributes, same, NULL) == EINVAL);
}

static void a_mask_of_more_than_1024_cpus_is_heeded(void)
{
    unsigned char mask[256] = {0};
    pthread_attr_t attributes = fresh();
    int cpu = first_cpu();
    mask[cpu / 8] = (unsigned char)(1 << cpu % 8);
    mask[255] = 0x80; /* CPU 2047, which no machine here has */
    CHECK(pthread_attr_setaffinity_np(&attributes, sizeof mask, (cpu_set_t *)mask) == 0);
    CHECK(joined(make(&attributes, cpus_here, NULL)) == (void *)1);
}

static void *policy_here(void *unused)
{
    (void)unused;
    return (void *)(intptr_t)sched_getscheduler(0);
}

static void a_thread_has_the_policy_of_its_attributes_only_if_they_say_so(void)
{
    pthread_attr_t attributes = fresh();
    CHECK(pthread_attr_setschedpolicy(&attributes, SCHED_FIFO) == 0);
    CHECK(joined(make(&attributes, policy_here, NULL)) == (void *)SCHED_OTHER);
    CHECK(pthread_attr_setschedpolicy(&attributes, SCHED_OTHER) == 0);
    CHECK(pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED) == 0);
    CHECK(joined(make(&attributes, policy_here, NULL)) == (void *)SCHED_OTHER);
}

/* Real-time priority where it is allowed; else both libraries say EPERM. */
static void a_priority_is_set_or_refused(void)
{
    struct sched_param priority = {.sched_priority = 1};
    bool allowed = sched_setscheduler(0, SCHED_RR, &priority) == 0;
    pthread_t thread;
    pthread_attr_t attributes = fresh();
    CHECK(pthread_attr_setschedpolicy(&attributes, SCHED_RR) == 0);
    CHECK(pthread_attr_setschedparam(&attributes, &priority) == 0);
    CHECK(pthread_attr_setinheritsched(&attributes, PTHREAD_EXPLICIT_SCHED) == 0);
    CHECK(pthread_create(&thread, &attributes, policy_here, NULL) == (allowed ? 0 : EPERM));
    CHECK(!allowed || joined(thread) == (void *)SCHED_RR);
}

static void *blocks_usr1(void *unused)
{
    sigset_t set;
    (void)unused;
    pthread_sigmask(SIG_SETMASK, NULL, &set);
    return (void *)(intptr_t)sigismember(&set, SIGUSR1);
}

static void a_thread_has_the_mask_of_its_attributes_or_its_creator(void)
{
    sigset_t none, usr1;
    pthread_attr_t attributes = fresh();
    sigemptyset(&none);
    sigemptyset(&usr1);
    sigaddset(&usr1, SIGUSR1);
    CHECK(joined(make(NULL, blocks_usr1, NULL)) == (void *)0);
    CHECK(pthread_attr_setsigmask_np(&attributes, &usr1) == 0);
    CHECK(joined(make(&attributes, blocks_usr1, NULL)) == (void *)1);
    CHECK(blocks_usr1(NULL) == (void *)0);
    CHECK(pthread_sigmask(SIG_SETMASK, &usr1, NULL) == 0);
    CHECK(joined(make(NULL, blocks_usr1, NULL)) == (void *)1);
    CHECK(pthread_attr_setsigmask_np(&attributes, &none) == 0);
    CHECK(joined(make(&attributes, blocks_usr1, NULL)) == (void *)0);
}

static _Atomic(pthread_t) told;

static void *is_told(void *unused)
{
    (void)unused;
    return (void *)(intptr_t)pthread_equal(atomic_load(&told), pthread_self());
}

static void the_ident_is_stored_before_the_thread_runs(void)
{
    for (int round = 0; round < 50; round++) {
        CHECK(pthread_create((pthread_t *)&told, NULL, is_told, NULL) == 0);
        CHECK(joined(atomic_load(&told)) == (void *)1);
    }
}

static const struct named_case cases[] = {
    CASE(a_stack_is_as_large_as_asked_for),
    CASE(the_default_size_is_that_of_libc_and_can_be_set),
    CASE(a_thread_runs_on_the_stack_of_its_creator),
    CASE(a_detached_thread_runs_on_the_stack_of_its_creator),
    CASE(a_small_stack_of_the_creator_is_enough),
    CASE(the_guard_is_as_large_as_asked_for),
    CASE(a_thread_is_told_the_size_of_its_guard),
    CASE(a_thread_is_told_whether_it_is_detached),
    CASE(a_thread_has_the_affinity_of_its_attributes),
    CASE(an_affinity_with_cpus_that_are_not_there_is_refused),
    CASE(a_mask_of_more_than_1024_cpus_is_heeded),
    CASE(a_thread_has_the_policy_of_its_attributes_only_if_they_say_so),
    CASE(a_priority_is_set_or_refused),
    CASE(a_thread_has_the_mask_of_its_attributes_or_its_creator),
    CASE(the_ident_is_stored_before_the_thread_runs),
};

MAIN(cases)
