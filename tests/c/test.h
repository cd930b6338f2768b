/* A small framework for tests in C. Each program is a list of named tests. Status 77 means skipped. */
#ifndef KT_TEST_H
#define KT_TEST_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <kthreads/kthreads.h>

#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition)                                                                                     \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: %s does not hold\n", __FILE__, __LINE__, #condition);                    \
            exit(1);                                                                                         \
        }                                                                                                    \
    } while (0)

#define RUN(test)                                                                                            \
    do {                                                                                                     \
        test();                                                                                              \
        printf("ok: %s\n", #test);                                                                           \
        fflush(stdout);                                                                                      \
    } while (0)

enum { SECONDS_TO_HANG = 30 /* seconds after which a test in a child process counts as hanging */ };

/* Runs a part of a test in a child process, where nothing is known yet of libc and the kernel, and which may
 * hang. */
static inline void pass_in_a_process(const char *name, void (*test)(void))
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        alarm(SECONDS_TO_HANG);
        test();
        exit(0);
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    if (status != 0) {
        fprintf(stderr, "%s: %s %d\n", name, WIFSIGNALED(status) ? "signal" : "status",
                WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
        exit(1);
    }
}

static inline void in_a_process(const char *name, void (*test)(void))
{
    pass_in_a_process(name, test);
    printf("ok: %s\n", name);
}

#define IN_A_PROCESS(test) in_a_process(#test, test)

enum { SHARE_ALL = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM };

/* The backends that this build supports; -1 ends the list. */
static inline const int *backends(void)
{
    static const int all[] = {KT_BACKEND_CLONE, KT_BACKEND_CLONE3, KT_BACKEND_PTHREAD, -1};
    return kt_features() & KT_FEATURE_SANITIZED ? &all[2] : all;
}

static inline kt_spec spec_for(int backend)
{
    return (kt_spec){.flags = SHARE_ALL, .backend = backend};
}

#define FUNCTION(name) ((kt_function)(uintptr_t)(name))

static inline kt_call call_of(kt_function function, void *argument)
{
    return (kt_call){
        .function = function, .integers = {(uint64_t)(uintptr_t)argument}, .kind = KT_RESULT_INTEGER};
}

static inline kt_thread *start(const kt_spec *spec, kt_function function, void *argument)
{
    kt_thread *thread;
    kt_call call = call_of(function, argument);
    int rc = kt_thread_start(&thread, spec, &call);
    if (rc != 0) {
        fprintf(stderr, "kt_thread_start: %d (%s)\n", rc, kt_libc_missing() ? kt_libc_missing() : "-");
        exit(1);
    }
    return thread;
}

static inline uint64_t finish(kt_thread *thread)
{
    kt_outcome outcome;
    int rc;
    while ((rc = kt_thread_join(thread, -1, &outcome)) == -4 /* EINTR */) {
    }
    CHECK(rc == 0);
    kt_thread_free(thread);
    return outcome.result;
}

/* qemu-user supports none of these. */
static inline int has_robust_lists(void)
{
    void *head;
    size_t size;
    return syscall(SYS_get_robust_list, 0, &head, &size) == 0;
}

static inline int is_under_valgrind(void)
{
    const char *preloaded = getenv("LD_PRELOAD");
    return preloaded && strstr(preloaded, "valgrind");
}

/* ThreadSanitizer cannot start threads in the forked child of a process with threads, and qemu-user aborts
 * there. */
static inline int makes_threads_after_fork(void)
{
    return !(kt_features() & KT_FEATURE_SANITIZED) && has_robust_lists();
}

#endif
