/* What a callback may do on a thread. Each function returns 0, or the line of what did not hold. */
#define _GNU_SOURCE
#include "expect.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <fenv.h>
#include <iconv.h>
#include <locale.h>
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>
#include <wctype.h>

#include <ctype.h>

static int exit_status_of(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -1;
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* ---- TLS -------------------------------------------------------------------------------------------- */

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

/* ---- Keys ------------------------------------------------------------------------------------------- */

enum { KEYS = 100 }; /* more than the 32 that the descriptor itself has room for */

static pthread_key_t keys[KEYS];
static pthread_once_t keys_once = PTHREAD_ONCE_INIT;
static _Atomic(int) key_destructions;

static void destroy_value(void *value)
{
    if ((intptr_t)value < 1000) { /* once more, as a destructor that sets a value again */
        for (int i = 0; i < KEYS; i++) {
            if (i + 1 == (intptr_t)value) {
                pthread_setspecific(keys[i], (void *)((intptr_t)value + 1000));
            }
        }
    }
    key_destructions++;
}

static void make_keys(void)
{
    for (int i = 0; i < KEYS; i++) {
        pthread_key_create(&keys[i], destroy_value);
    }
}

int a_hundred_keys_start_empty_and_hold_values(void)
{
    pthread_once(&keys_once, make_keys);
    for (intptr_t i = 0; i < KEYS; i++) {
        EXPECT(pthread_getspecific(keys[i]) == NULL);
        EXPECT(pthread_setspecific(keys[i], (void *)(i + 1)) == 0);
    }
    return 0;
}

/* For the caller, after the threads have been joined: how many destructors ran since the last time. */
int take_key_destructions(void)
{
    return atomic_exchange(&key_destructions, 0);
}

/* ---- Locale, formats, conversions ------------------------------------------------------------------- */

int characters_and_numbers_are_classified_and_formatted(void)
{
    char text[64];
    EXPECT(toupper('k') == 'K' && isalpha('z') && !isdigit('x') && towupper(L'k') == L'K');
    snprintf(text, sizeof text, "%.3f %d %s", 2.5, 7, "seven");
    EXPECT(strcmp(text, "2.500 7 seven") == 0);
    EXPECT(strtod("1.25e3", NULL) == 1250.0);
    double number;
    EXPECT(sscanf("3.5", "%lf", &number) == 1 && number == 3.5);
    return 0;
}

int a_thread_may_have_a_locale_of_its_own(void)
{
    EXPECT(uselocale(NULL) == LC_GLOBAL_LOCALE);
    locale_t locale = newlocale(LC_ALL_MASK, "C.UTF-8", NULL);
    EXPECT(locale);
    EXPECT(uselocale(locale) == LC_GLOBAL_LOCALE);
    EXPECT(mbstowcs(NULL, "\xc3\xa9", 0) == 1);
    EXPECT(uselocale(LC_GLOBAL_LOCALE) == locale);
    freelocale(locale);
    return 0;
}

int iconv_converts(void)
{
    char in[] = "k\xe9", out[8] = {0}, *from = in, *to = out;
    size_t from_left = 2, to_left = sizeof out;
    iconv_t converter = iconv_open("UTF-8", "ISO-8859-1");
    EXPECT(converter != (iconv_t)-1);
    EXPECT(iconv(converter, &from, &from_left, &to, &to_left) == 0);
    iconv_close(converter);
    EXPECT(strcmp(out, "k\xc3\xa9") == 0);
    return 0;
}

int errors_and_signals_have_names(void)
{
    char text[64];
    EXPECT(strstr(strerror(ENOENT), "No such file"));
    EXPECT(strerror_r(EINVAL, text, sizeof text) != NULL);
    EXPECT(strstr(strsignal(SIGTERM), "Terminated"));
    EXPECT(strerror(12345) != NULL); /* uses a buffer of the thread */
    EXPECT(dlopen("no such library", RTLD_NOW) == NULL && dlerror() != NULL);
    return 0;
}

/* ---- Memory ----------------------------------------------------------------------------------------- */

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

/* ---- Locks ------------------------------------------------------------------------------------------ */

static pthread_mutex_t robust;
static pthread_once_t robust_once = PTHREAD_ONCE_INIT;

static void make_robust(void)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setprotocol(&attributes, PTHREAD_PRIO_INHERIT);
    pthread_mutex_init(&robust, &attributes);
}

/* Ends as the owner of a robust mutex with priority inheritance; its next owner learns it. */
int a_robust_mutex_outlives_its_owner(void)
{
    pthread_once(&robust_once, make_robust);
    int rc = pthread_mutex_lock(&robust);
    EXPECT(rc == 0 || rc == EOWNERDEAD);
    if (rc == EOWNERDEAD) {
        EXPECT(pthread_mutex_consistent(&robust) == 0);
    }
    return 0;
}

/* For the caller: whether the last owner was found dead. Leaves the mutex free. */
int robust_owner_was_dead(void)
{
    int rc = pthread_mutex_lock(&robust);
    if (rc == EOWNERDEAD) {
        pthread_mutex_consistent(&robust);
    }
    pthread_mutex_unlock(&robust);
    return rc == EOWNERDEAD;
}

int mutexes_of_all_kinds_lock(void)
{
    const int kinds[] = {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK};
    for (size_t i = 0; i < 3; i++) {
        for (int protocol = PTHREAD_PRIO_NONE; protocol <= PTHREAD_PRIO_INHERIT; protocol++) {
            pthread_mutexattr_t attributes;
            pthread_mutex_t mutex;
            pthread_mutexattr_init(&attributes);
            pthread_mutexattr_settype(&attributes, kinds[i]);
            pthread_mutexattr_setprotocol(&attributes, protocol);
            EXPECT(pthread_mutex_init(&mutex, &attributes) == 0);
            EXPECT(pthread_mutex_lock(&mutex) == 0);
            EXPECT(kinds[i] != PTHREAD_MUTEX_ERRORCHECK || pthread_mutex_lock(&mutex) == EDEADLK);
            EXPECT(kinds[i] != PTHREAD_MUTEX_RECURSIVE ||
                   (pthread_mutex_lock(&mutex) == 0 && pthread_mutex_unlock(&mutex) == 0));
            EXPECT(pthread_mutex_unlock(&mutex) == 0);
            EXPECT(pthread_mutex_destroy(&mutex) == 0);
        }
    }
    return 0;
}

static void *post(void *semaphore)
{
    sem_post(semaphore);
    return NULL;
}

int conditions_semaphores_and_barriers_work_with_pthreads(void)
{
    sem_t semaphore;
    pthread_t helper;
    EXPECT(sem_init(&semaphore, 0, 0) == 0);
    EXPECT(pthread_create(&helper, NULL, post, &semaphore) == 0);
    EXPECT(sem_wait(&semaphore) == 0);
    EXPECT(pthread_join(helper, NULL) == 0);
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
    struct timespec soon;
    clock_gettime(CLOCK_REALTIME, &soon);
    soon.tv_nsec = (soon.tv_nsec + 1000000) % 1000000000;
    pthread_mutex_lock(&mutex);
    int rc = pthread_cond_timedwait(&condition, &mutex, &soon);
    EXPECT(rc == ETIMEDOUT || rc == 0);
    EXPECT(pthread_mutex_unlock(&mutex) == 0);
    pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
    EXPECT(pthread_rwlock_rdlock(&rwlock) == 0 && pthread_rwlock_unlock(&rwlock) == 0);
    EXPECT(pthread_rwlock_wrlock(&rwlock) == 0 && pthread_rwlock_unlock(&rwlock) == 0);
    return 0;
}

/* ---- Who am I --------------------------------------------------------------------------------------- */

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

int signals_are_blocked_and_can_be_handled_if_let_in(void)
{
    sigset_t blocked, usr2;
    struct sigaction action = {.sa_handler = note_thread}, old;
    EXPECT(pthread_sigmask(SIG_SETMASK, NULL, &blocked) == 0);
    EXPECT(sigismember(&blocked, SIGINT) && sigismember(&blocked, SIGUSR2) &&
           sigismember(&blocked, SIGRTMIN));
    EXPECT(!sigismember(&blocked, SIGSEGV) && !sigismember(&blocked, SIGABRT));
    sigemptyset(&usr2);
    sigaddset(&usr2, SIGUSR2);
    EXPECT(sigaction(SIGUSR2, &action, &old) == 0);
    EXPECT(pthread_kill(pthread_self(), SIGUSR2) == 0);
    EXPECT(pthread_sigmask(SIG_UNBLOCK, &usr2, NULL) == 0);
    EXPECT(handled_on == gettid());
    EXPECT(pthread_sigmask(SIG_BLOCK, &usr2, NULL) == 0);
    int signal;
    EXPECT(pthread_kill(pthread_self(), SIGUSR2) == 0 && sigwait(&usr2, &signal) == 0 && signal == SIGUSR2);
    return sigaction(SIGUSR2, &old, NULL);
}

/* ---- Ends ------------------------------------------------------------------------------------------- */

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

int pthread_exit_with_a_hundred_values(void)
{
    EXPECT(a_hundred_keys_start_empty_and_hold_values() == 0);
    pthread_exit(NULL);
}

int pthread_exit_as_owner_of_a_robust_mutex(void)
{
    EXPECT(a_robust_mutex_outlives_its_owner() == 0);
    pthread_exit(NULL);
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

/* ---- Processes -------------------------------------------------------------------------------------- */

static void *allocate(void *argument)
{
    free(malloc(1000));
    return argument;
}

int fork_gives_a_child_that_can_make_threads(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        pthread_t thread;
        void *result = NULL;
        int value;
        bool well = getpid() == gettid() && pthread_create(&thread, NULL, allocate, &value) == 0 &&
                    pthread_join(thread, &result) == 0 && result == &value;
        _exit(well ? 7 : 8);
    }
    EXPECT(exit_status_of(pid) == 7);
    return 0;
}

int processes_are_spawned(void)
{
    extern char **environ;
    char line[16] = {0};
    char *arguments[] = {"sh", "-c", "exit 5", NULL};
    pid_t pid;
    EXPECT(posix_spawn(&pid, "/bin/sh", NULL, NULL, arguments, environ) == 0);
    EXPECT(exit_status_of(pid) == 5);
    EXPECT(WEXITSTATUS(system("exit 6")) == 6);
    FILE *pipe = popen("echo heard", "r");
    EXPECT(pipe && fgets(line, sizeof line, pipe) && strcmp(line, "heard\n") == 0);
    EXPECT(pclose(pipe) == 0);
    pid = vfork();
    if (pid == 0) {
        _exit(9);
    }
    EXPECT(exit_status_of(pid) == 9);
    return 0;
}

/* ---- Files, names, time ----------------------------------------------------------------------------- */

int stdio_reads_and_writes(void)
{
    char *line = NULL;
    size_t room = 0;
    FILE *file = tmpfile();
    EXPECT(file);
    EXPECT(fprintf(file, "%s %d\n", "line", 1) == 7);
    rewind(file);
    EXPECT(getline(&line, &room, file) == 7 && strcmp(line, "line 1\n") == 0);
    free(line);
    EXPECT(fclose(file) == 0);
    return 0;
}

int names_are_resolved(void)
{
    struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_STREAM}, *found;
    EXPECT(getaddrinfo("127.0.0.1", "80", &hints, &found) == 0);
    freeaddrinfo(found);
    EXPECT(getaddrinfo("localhost", NULL, &hints, &found) ==
           0); /* by nss, with resolver state of the thread */
    freeaddrinfo(found);
    getaddrinfo("no-such-host.invalid", NULL, &hints,
                &found); /* touches the resolver itself; must only return */
    EXPECT(getpwuid(0) != NULL);
    return 0;
}

int time_is_told(void)
{
    struct tm parts;
    struct timespec moment = {.tv_nsec = 1000};
    time_t now = time(NULL);
    char text[32];
    EXPECT(localtime_r(&now, &parts) && strftime(text, sizeof text, "%F", &parts) == 10);
    EXPECT(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &moment) == 0);
    moment = (struct timespec){.tv_nsec = 1000};
    EXPECT(clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL) == 0);
    return 0;
}

static int compare(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

int algorithms_run(void)
{
    int numbers[500], key = 250;
    for (int i = 0; i < 500; i++) {
        numbers[i] = (i * 7919) % 500;
    }
    qsort(numbers, 500, sizeof numbers[0], compare);
    EXPECT(numbers[0] == 0 && numbers[499] == 499);
    EXPECT(bsearch(&key, numbers, 500, sizeof key, compare) == &numbers[250]);
    return 0;
}

/* ---- What one thread changes and the next must not see ---------------------------------------------- */

/* The next five change one thing each of their thread, after checking that nobody has before. */

int a_changed_signal_mask_is_not_seen(void)
{
    sigset_t mask;
    EXPECT(pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0);
    EXPECT(sigismember(&mask, SIGUSR1) && sigismember(&mask, SIGTERM) && !sigismember(&mask, SIGFPE));
    sigfillset(&mask);
    sigdelset(&mask, SIGUSR1);
    return pthread_sigmask(SIG_SETMASK, &mask, NULL);
}

int a_changed_cancel_state_is_not_seen(void)
{
    int state, type;
    EXPECT(pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state) == 0 && state == PTHREAD_CANCEL_ENABLE);
    EXPECT(pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &type) == 0 && type == PTHREAD_CANCEL_DEFERRED);
    return 0;
}

int a_changed_locale_is_not_seen(void)
{
    EXPECT(uselocale(NULL) == LC_GLOBAL_LOCALE);
    return uselocale(newlocale(LC_ALL_MASK, "C", NULL)) == LC_GLOBAL_LOCALE ? 0 : __LINE__;
}

int a_changed_rounding_mode_is_not_seen(void)
{
    EXPECT(fegetround() == FE_TONEAREST);
    return fesetround(FE_UPWARD);
}

int a_changed_name_is_not_seen(void)
{
    char name[16];
    EXPECT(pthread_getname_np(pthread_self(), name, sizeof name) == 0 && strcmp(name, "changed") != 0);
    return pthread_setname_np(pthread_self(), "changed");
}
