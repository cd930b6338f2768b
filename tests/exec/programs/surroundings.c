/* What a program does around its threads: forks, programs that it executes, libraries, and what libc keeps
 * for each thread. */
#include "cases.h"

#include <dlfcn.h>
#include <sys/syscall.h>

/* Made by a constructor, before main. */
static pthread_t early;

static __attribute__((constructor)) void make_early(void)
{
    early = make(NULL, same, &early);
}

static void a_constructor_makes_a_thread(void)
{
    CHECK(joined(early) == &early);
}

static void expect_end(pid_t child, int code)
{
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == code);
}

static void *fork_here(void *unused)
{
    pid_t child = fork();
    if (child == 0) {
        joined(make(NULL, same, NULL));
        _exit(5);
    }
    expect_end(child, 5);
    return unused;
}

static void a_thread_forks_and_its_child_makes_threads(void)
{
    atomic_int gate = 0;
    pthread_t other = make(NULL, wait_at, &gate);
    joined(make(NULL, fork_here, NULL));
    atomic_store(&gate, 1);
    joined(other);
}

static void *return_in_the_child(void *argument)
{
    pid_t child = fork();
    if (child == 0) {
        return NULL; /* the only thread of the child: its end is that of the process */
    }
    expect_end(child, 0);
    return argument;
}

static void a_child_ends_with_the_thread_that_it_is(void)
{
    CHECK(joined(make(NULL, return_in_the_child, &early)) == &early);
}

static void a_child_has_the_threads_of_its_own_alone(void)
{
    enum { THREADS = 8 };
    atomic_int gate = 0;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = make(NULL, wait_at, &gate);
    }
    pid_t child = fork();
    if (child == 0) {
        for (int i = 0; i < THREADS; i++) {
            threads[i] = make(NULL, same, &threads[i]);
        }
    } else {
        atomic_store(&gate, 1);
    }
    for (int i = 0; i < THREADS; i++) {
        joined(threads[i]);
    }
    if (child == 0) {
        _exit(6);
    }
    expect_end(child, 6);
}

static void a_library_that_is_opened_later_makes_threads(void)
{
    void *library = dlopen(getenv("LIBRARY"), RTLD_NOW);
    CHECK(library);
    int *(*answer)(void);
    *(void **)&answer = dlsym(library, "answer");
    CHECK(*answer() == 42);
    CHECK(dlclose(library) == 0);
}

/* The state of the main thread; Z when it has ended. */
static char state_of_main(void)
{
    char path[64], state = 0;
    snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)getpid());
    FILE *file = fopen(path, "r");
    CHECK(file && fscanf(file, "%*d (%*[^)]) %c", &state) == 1);
    fclose(file);
    return state;
}

static void *outlive_main(void *unused)
{
    while (state_of_main() != 'Z') {
        sched_yield();
    }
    puts("ok");
    return unused;
}

static void the_process_outlives_its_main_thread(void)
{
    make(NULL, outlive_main, NULL);
    pthread_exit(NULL);
}

static atomic_int destroyed;

static void destroy(void *value)
{
    CHECK(value == &destroyed);
    atomic_fetch_add(&destroyed, 1);
}

static pthread_key_t key;

static void *set_key(void *unused)
{
    (void)unused;
    CHECK(pthread_getspecific(key) == NULL);
    CHECK(pthread_setspecific(key, &destroyed) == 0);
    return NULL;
}

static void destructors_of_keys_have_run_when_a_thread_is_joined(void)
{
    CHECK(pthread_key_create(&key, destroy) == 0);
    for (int i = 1; i <= 5; i++) {
        joined(make(NULL, set_key, NULL));
        CHECK(atomic_load(&destroyed) == i);
    }
}

static _Thread_local int initial = 7;

static void *change_local(void *unused)
{
    (void)unused;
    int before = initial;
    initial = 8;
    return (void *)(intptr_t)before;
}

static void every_thread_finds_its_variables_as_they_were_at_first(void)
{
    for (int i = 0; i < 5; i++) {
        CHECK(joined(make(NULL, change_local, NULL)) == (void *)7);
    }
    CHECK(initial == 7);
}

static void *name_here(void *unused)
{
    static char name[16];
    (void)unused;
    CHECK(pthread_getname_np(pthread_self(), name, sizeof name) == 0);
    return name;
}

static void *own_tid(void *argument)
{
    atomic_int *words = argument;
    atomic_store(&words[0], gettid());
    wait_at(&words[1]);
    return name_here(NULL);
}

static void libc_knows_the_thread_by_its_ident(void)
{
    atomic_int words[2] = {0, 0};
    clockid_t clock;
    struct timespec time;
    int policy;
    struct sched_param parameters;
    pthread_t thread = make(NULL, own_tid, words);
    while (!atomic_load(&words[0])) {
        sched_yield();
    }
    CHECK(pthread_kill(thread, 0) == 0);
    CHECK(pthread_setname_np(thread, "renamed") == 0);
    CHECK(pthread_getcpuclockid(thread, &clock) == 0 && clock_gettime(clock, &time) == 0);
    CHECK(pthread_getschedparam(thread, &policy, &parameters) == 0 && policy == SCHED_OTHER);
    atomic_store(&words[1], 1);
    CHECK(strcmp(joined(thread), "renamed") == 0);
    CHECK(strcmp(joined(make(NULL, name_here, NULL)), "renamed") != 0);
}

static void *hold(void *mutex)
{
    CHECK(pthread_mutex_lock(mutex) == 0);
    return NULL;
}

static void a_robust_mutex_tells_of_the_end_of_its_owner(void)
{
    pthread_mutex_t mutex;
    pthread_mutexattr_t attributes;
    CHECK(pthread_mutexattr_init(&attributes) == 0);
    CHECK(pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST) == 0);
    CHECK(pthread_mutex_init(&mutex, &attributes) == 0);
    joined(make(NULL, hold, &mutex));
    CHECK(pthread_mutex_lock(&mutex) == EOWNERDEAD);
}

static void many_threads_are_alive_at_once(void)
{
    enum { THREADS = 300 };
    atomic_int gate = 0;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[i] = make(NULL, wait_at, &gate);
    }
    atomic_store(&gate, 1);
    for (int i = 0; i < THREADS; i++) {
        CHECK(joined(threads[i]) == &gate);
    }
}

static void *count_end(void *ended)
{
    atomic_fetch_add((atomic_int *)ended, 1);
    return NULL;
}

static void detached_threads_by_the_thousand_end(void)
{
    enum { THREADS = 2000 };
    static atomic_int ended;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    for (int i = 0; i < THREADS; i++) {
        pthread_t thread;
        int rc;
        while ((rc = pthread_create(&thread, &attributes, count_end, &ended)) == EAGAIN) {
            sched_yield();
        }
        CHECK(rc == 0);
    }
    while (atomic_load(&ended) < THREADS) {
        sched_yield();
    }
}

static const struct named_case cases[] = {
    CASE(a_constructor_makes_a_thread),
    CASE(a_thread_forks_and_its_child_makes_threads),
    CASE(a_child_ends_with_the_thread_that_it_is),
    CASE(a_child_has_the_threads_of_its_own_alone),
    CASE(a_library_that_is_opened_later_makes_threads),
    CASE(the_process_outlives_its_main_thread),
    CASE(destructors_of_keys_have_run_when_a_thread_is_joined),
    CASE(every_thread_finds_its_variables_as_they_were_at_first),
    CASE(libc_knows_the_thread_by_its_ident),
    CASE(a_robust_mutex_tells_of_the_end_of_its_owner),
    CASE(many_threads_are_alive_at_once),
    CASE(detached_threads_by_the_thousand_end),
};

MAIN(cases)
