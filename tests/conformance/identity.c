/* The identity of the calling thread, as pthread functions and the kernel have it; its CPU and its signals.
 * Each function returns 0, or the line of what did not hold. */
#define _GNU_SOURCE
#include "expect.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int pthread_functions_know_the_thread(void)
{
    struct sched_param parameter;
    clockid_t clock;
    struct timespec time;
    char name[16];
    int policy;
    pthread_t self = pthread_self();
    EXPECT(pthread_equal(self, pthread_self()));
    EXPECT(pthread_getschedparam(self, &policy, &parameter) == 0);
    EXPECT(pthread_getcpuclockid(self, &clock) == 0 && clock_gettime(clock, &time) == 0);
    EXPECT(pthread_kill(self, 0) == 0);
    EXPECT(pthread_setname_np(self, "renamed") == 0);
    EXPECT(pthread_getname_np(self, name, sizeof name) == 0 && strcmp(name, "renamed") == 0);
    EXPECT(gettid() == (pid_t)syscall(SYS_gettid) && gettid() != getpid());
    EXPECT(pthread_setschedparam(self, policy, &parameter) == 0);
    return 0;
}

int sched_getcpu_follows_pinning(void)
{
    cpu_set_t old, one;
    EXPECT(pthread_getaffinity_np(pthread_self(), sizeof old, &old) == 0);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &old)) {
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            EXPECT(pthread_setaffinity_np(pthread_self(), sizeof one, &one) == 0);
            EXPECT(sched_getcpu() == cpu);
        }
    }
    EXPECT(sched_setaffinity(0, sizeof old, &old) == 0);
    return 0;
}

static _Atomic(int) handled_on;

static void note_thread(int signal)
{
    (void)signal;
    handled_on = gettid();
}

/* The tests start threads with no signal blocked. */
int a_signal_to_the_thread_is_handled_there_or_awaited(void)
{
    sigset_t blocked, usr2;
    int signal;
    struct sigaction action = {.sa_handler = note_thread}, old;
    EXPECT(pthread_sigmask(SIG_SETMASK, NULL, &blocked) == 0);
    EXPECT(sigisemptyset(&blocked));
    sigemptyset(&usr2);
    sigaddset(&usr2, SIGUSR2);
    EXPECT(sigaction(SIGUSR2, &action, &old) == 0);
    EXPECT(pthread_kill(pthread_self(), SIGUSR2) == 0);
    EXPECT(handled_on == gettid());
    EXPECT(pthread_sigmask(SIG_BLOCK, &usr2, NULL) == 0);
    EXPECT(pthread_kill(pthread_self(), SIGUSR2) == 0 && sigwait(&usr2, &signal) == 0 && signal == SIGUSR2);
    return sigaction(SIGUSR2, &old, NULL);
}
