/* A failure that comes from a temporary shortage is not remembered. Each test runs in its own process, where
 * nothing is known yet. */
#define _GNU_SOURCE
#include "test.h"
#include "base/syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static int try_to_start(int backend)
{
    kt_thread *thread;
    kt_spec spec = spec_for(backend);
    kt_call call = call_of(FUNCTION(getpid), NULL);
    int rc = kt_thread_start(&thread, &spec, &call);
    CHECK((rc < 0) == (thread == NULL));
    if (rc == 0) {
        CHECK(finish(thread) == (uint64_t)getpid());
    }
    return rc;
}

static void all_backends_work(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        CHECK(try_to_start(*backend) == 0);
    }
    CHECK(kt_libc_probe(NULL) == 0);
    CHECK(kt_libc_missing() == NULL);
}

static void no_backend_works(int expected)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        CHECK(try_to_start(*backend) == expected);
    }
    CHECK(kt_features() & KT_FEATURE_SANITIZED || kt_libc_probe(NULL) == expected);
    CHECK(kt_libc_missing() == NULL);
}

static void a_limit_on_threads_is_felt_only_while_it_lasts(void)
{
    struct rlimit limit;
    CHECK(geteuid() != 0 || setuid(65534) == 0); /* root has no such limit */
    CHECK(getrlimit(RLIMIT_NPROC, &limit) == 0);
    rlim_t soft = limit.rlim_cur;
    limit.rlim_cur = 1;
    CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
    no_backend_works(-EAGAIN);
    limit.rlim_cur = soft;
    CHECK(setrlimit(RLIMIT_NPROC, &limit) == 0);
    all_backends_work();
}

static void a_want_of_keys_is_felt_only_while_it_lasts(void)
{
    pthread_key_t keys[PTHREAD_KEYS_MAX];
    size_t count = 0;
    while (count < PTHREAD_KEYS_MAX && pthread_key_create(&keys[count], NULL) == 0) {
        count++;
    }
    if (!(kt_features() & KT_FEATURE_SANITIZED)) {
        CHECK(kt_libc_probe(NULL) == -EAGAIN);
        CHECK(kt_libc_missing() == NULL);
    }
    while (count > 0) {
        pthread_key_delete(keys[--count]);
    }
    all_backends_work();
}

static void a_pid_namespace_for_children_alone_is_in_the_way_only_while_it_is_there(void)
{
    int own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (unshare(CLONE_NEWPID) < 0) {
        return; /* not permitted for every user */
    }
    no_backend_works(-EINVAL);
    CHECK(setns(own, CLONE_NEWPID) == 0);
    all_backends_work();
}

static void light_guards_are_not_insisted_on_in_locked_memory(void)
{
    all_backends_work();
    kt_trim();
    if (mlockall(MCL_FUTURE) == 0) {
        kt_spec spec = spec_for(backends()[0]);
        spec.stack_size = 65536;
        finish(start(&spec, FUNCTION(getpid), NULL));
    }
}

struct failing {
    long call;
    int error;
};

/* From now on the calling thread, and no other, gets these errors. */
static void have_fail(const struct failing *failing, size_t count)
{
    struct sock_filter filter[32];
    struct sock_fprog program = {.filter = filter};
    filter[program.len++] =
        (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < count; i++) {
        filter[program.len++] =
            (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)failing[i].call, 0, 1);
        filter[program.len++] = (struct sock_filter)BPF_STMT(
            BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ((uint32_t)failing[i].error & SECCOMP_RET_DATA));
    }
    filter[program.len++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static void on_a_pthread(void *(*what)(void *))
{
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, what, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
}

static void *start_where_no_thread_can_be_made(void *unused)
{
    have_fail((struct failing[]){{SYS_clone, EAGAIN}, {SYS_clone3, EAGAIN}}, 2);
    no_backend_works(-EAGAIN);
    return unused;
}

static void a_probe_that_cannot_be_made_is_made_the_next_time(void)
{
    on_a_pthread(start_where_no_thread_can_be_made);
    all_backends_work();
}

static void *start_where_clone_fails(void *unused)
{
    have_fail((struct failing[]){{SYS_clone, ENOMEM}}, 1);
    CHECK(try_to_start(KT_BACKEND_CLONE) == -ENOMEM);
    CHECK(kt_libc_missing() == NULL);
    return unused;
}

static void a_self_check_that_cannot_be_made_is_made_the_next_time(void)
{
    on_a_pthread(start_where_clone_fails);
    all_backends_work();
}

static void *start_where_memory_cannot_be_had(void *unused)
{
    have_fail((struct failing[]){{SYS_mmap, ENOMEM}}, 1);
    CHECK(try_to_start(backends()[0]) == -ENOMEM);
    CHECK(kt_libc_missing() == NULL);
    return unused;
}

static void a_want_of_memory_is_felt_only_while_it_lasts(void)
{
    on_a_pthread(start_where_memory_cannot_be_had);
    all_backends_work();
}

static uint32_t features_of_the_kernel(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        _exit((int)kt_features());
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return (uint32_t)WEXITSTATUS(status);
}

static void *look_where_all_is_short(void *unused)
{
    have_fail(
        (struct failing[]){
            {SYS_clone3, EAGAIN}, {SYS_madvise, EAGAIN}, {SYS_futex_waitv, ENOMEM}, {SYS_pidfd_open, EMFILE}},
        4);
    CHECK((kt_features() & ~(uint32_t)KT_FEATURE_SANITIZED) == 0);
    return unused;
}

static void features_are_found_when_what_hid_them_has_passed(void)
{
    uint32_t there = features_of_the_kernel();
    on_a_pthread(look_where_all_is_short);
    CHECK(kt_features() == there);
}

static void *look_where_all_is_forbidden(void *features)
{
    have_fail(
        (struct failing[]){
            {SYS_clone3, ENOSYS}, {SYS_madvise, EINVAL}, {SYS_futex_waitv, ENOSYS}, {SYS_pidfd_open, EPERM}},
        4);
    CHECK((kt_features() & ~(uint32_t)KT_FEATURE_SANITIZED) == 0);
    return features;
}

static void features_that_are_refused_are_not_asked_for_again(void)
{
    on_a_pthread(look_where_all_is_forbidden);
    CHECK((kt_features() & ~(uint32_t)KT_FEATURE_SANITIZED) == 0);
}

static void *start_where_clone3_is_short(void *unused)
{
    have_fail((struct failing[]){{SYS_clone3, EAGAIN}}, 1);
    CHECK(try_to_start(KT_BACKEND_CLONE3) == -EAGAIN);
    return unused;
}

static void a_shortage_that_clone3_meets_is_reported_and_no_reason_to_give_it_up(void)
{
    if (features_of_the_kernel() & KT_FEATURE_CLONE3) {
        all_backends_work();
        on_a_pthread(start_where_clone3_is_short);
        CHECK(kt_features() & KT_FEATURE_CLONE3);
    }
}

/* Sanitizers, Valgrind and emulators make system calls of their own on the thread whose calls are to fail. */
static int may_fail_system_calls(void)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    return 0;
#else
    return !is_under_valgrind() && has_robust_lists();
#endif
}

int main(void)
{
    IN_A_PROCESS(a_limit_on_threads_is_felt_only_while_it_lasts);
    IN_A_PROCESS(a_want_of_keys_is_felt_only_while_it_lasts);
    IN_A_PROCESS(a_pid_namespace_for_children_alone_is_in_the_way_only_while_it_is_there);
    if (!may_fail_system_calls()) {
        return 0;
    }
    IN_A_PROCESS(light_guards_are_not_insisted_on_in_locked_memory);
    IN_A_PROCESS(a_probe_that_cannot_be_made_is_made_the_next_time);
    IN_A_PROCESS(a_self_check_that_cannot_be_made_is_made_the_next_time);
    IN_A_PROCESS(a_want_of_memory_is_felt_only_while_it_lasts);
    IN_A_PROCESS(features_are_found_when_what_hid_them_has_passed);
    IN_A_PROCESS(features_that_are_refused_are_not_asked_for_again);
    IN_A_PROCESS(a_shortage_that_clone3_meets_is_reported_and_no_reason_to_give_it_up);
    return 0;
}
