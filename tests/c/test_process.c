/* Processes by clone, without Python. */
#define _GNU_SOURCE
#include "test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const uint64_t clear_sighand = UINT64_C(0x100000000);

static char *const true_paths[] = {"/nowhere/true", "/bin/true", NULL};
static char *const true_argv[] = {"true", NULL};
static char *const no_paths[] = {"/nowhere/true", NULL};

static int finish_process(kt_process *process)
{
    kt_failure failure = {0};
    int32_t status;
    CHECK(kt_process_go(process, &failure) == 0);
    CHECK(kt_process_wait(process, -1, &status) == 0);
    kt_process_close(process);
    return status;
}

static int run(const kt_process_spec *spec)
{
    kt_process process;
    kt_failure failure = {0};
    CHECK(kt_process_start(&process, spec, &failure) == 0);
    CHECK(process.pid > 0);
    return finish_process(&process);
}

/* Memory cannot be shared under ThreadSanitizer. Emulators cannot share it either: they support only the
 * flags of threads and of vfork. */
static bool can_share_memory(void)
{
    kt_call call = {.function = FUNCTION(getpid), .kind = KT_RESULT_INTEGER};
    kt_process_spec spec = {.flags = CLONE_VM, .exit_signal = SIGCHLD, .call = &call};
    kt_process process;
    kt_failure failure;
    if (kt_process_start(&process, &spec, &failure) < 0) {
        CHECK(failure.error == ENOTSUP || failure.error == EINVAL);
        return false;
    }
    finish_process(&process);
    return true;
}

/* The clone flags that are supported here; ~0 ends the list. */
static const uint64_t *sharings(void)
{
    static const uint64_t all[] = {0,
                                   CLONE_VFORK,
                                   CLONE_FILES,
                                   CLONE_VM,
                                   CLONE_VM | CLONE_VFORK,
                                   CLONE_VM | CLONE_FS | CLONE_FILES,
                                   ~UINT64_C(0)};
    static const uint64_t copies[] = {0, ~UINT64_C(0)};
    return can_share_memory() ? all : copies;
}

static void a_program_runs_whatever_is_shared(void)
{
    kt_step steps[] = {{.kind = KT_STEP_EXEC, .paths = true_paths, .argv = true_argv}};
    for (const uint64_t *flags = sharings(); *flags != ~UINT64_C(0); flags++) {
        kt_process_spec spec = {.flags = *flags, .exit_signal = SIGCHLD, .steps = steps, .step_count = 1};
        CHECK(run(&spec) == 0);
    }
}

static void a_program_that_is_not_there_is_told_with_its_step(void)
{
    kt_step steps[] = {{.kind = KT_STEP_UMASK, .number = 022},
                       {.kind = KT_STEP_EXEC, .paths = no_paths, .argv = true_argv}};
    for (const uint64_t *flags = sharings(); *flags != ~UINT64_C(0); flags++) {
        kt_process_spec spec = {
            .flags = *flags & ~(uint64_t)CLONE_FS, .exit_signal = SIGCHLD, .steps = steps, .step_count = 2};
        kt_process process;
        kt_failure failure = {0};
        CHECK(kt_process_start(&process, &spec, &failure) == 0);
        CHECK(kt_process_go(&process, &failure) == -ENOENT);
        CHECK(failure.place == 1 && failure.error == ENOENT);
        CHECK(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD); /* the child was reaped */
    }
}

static int64_t add(int64_t a, int64_t b)
{
    return a + b;
}

static void a_function_s_result_is_the_exit_status(void)
{
    kt_call call = {.function = FUNCTION(add), .integers = {40, 2}, .kind = KT_RESULT_INTEGER};
    for (const uint64_t *flags = sharings(); *flags != ~UINT64_C(0); flags++) {
        kt_process_spec spec = {.flags = *flags, .exit_signal = SIGCHLD, .call = &call};
        int status = run(&spec);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    }
}

static void a_child_with_another_exit_signal_is_waited_for(void)
{
    kt_call call = {.function = FUNCTION(add), .integers = {1, 2}, .kind = KT_RESULT_INTEGER};
    const int signals[] = {0, SIGCHLD, SIGURG};
    for (int i = 0; i < 3; i++) {
        kt_process_spec spec = {.exit_signal = signals[i], .call = &call};
        CHECK(WEXITSTATUS(run(&spec)) == 3);
    }
}

static void a_child_waits_until_it_is_let_go(void)
{
    kt_step steps[] = {{.kind = KT_STEP_GO}, {.kind = KT_STEP_EXEC, .paths = true_paths, .argv = true_argv}};
    kt_process_spec spec = {.exit_signal = SIGCHLD, .steps = steps, .step_count = 2};
    kt_process process;
    kt_failure failure;
    int32_t status;
    CHECK(kt_process_start(&process, &spec, &failure) == 0);
    CHECK(kt_process_wait(&process, 20000000, &status) == -ETIMEDOUT);
    CHECK(finish_process(&process) == 0);
}

static kt_process started(kt_call *call)
{
    kt_process_spec spec = {.exit_signal = SIGCHLD, .call = call};
    kt_process process;
    kt_failure failure;
    CHECK(kt_process_start(&process, &spec, &failure) == 0);
    CHECK(kt_process_go(&process, &failure) == 0);
    return process;
}

static void what_was_seen_of_an_end_is_known(void)
{
    kt_call call = {.function = FUNCTION(add), .integers = {40, 2}, .kind = KT_RESULT_INTEGER};
    kt_process process = started(&call);
    CHECK(process.status == KT_STATUS_NONE);
    for (int i = 0; i < 3; i++) {
        int32_t status = -1;
        CHECK(kt_process_wait(&process, i - 1, &status) == 0);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42 && process.status == status);
    }
    CHECK(kt_process_wait(&process, -1, NULL) == 0);
    CHECK(process.pidfd == -1);
    CHECK(kt_process_signal(&process, SIGKILL) == -ESRCH);
    CHECK(kt_process_pidfd(&process) == -ESRCH);
}

static void the_signal_that_ended_it_is_known(void)
{
    kt_call call = {.function = FUNCTION(pause), .kind = KT_RESULT_INTEGER};
    kt_process process = started(&call);
    CHECK(kt_process_wait(&process, 0, NULL) == -ETIMEDOUT);
    CHECK(kt_process_wait(&process, 1000000, NULL) == -ETIMEDOUT);
    CHECK(kt_process_signal(&process, SIGKILL) == 0);
    int32_t status;
    CHECK(kt_process_wait(&process, -1, &status) == 0);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* As on kernels without pidfds, and where other code has closed the pidfd. */
static void an_end_is_seen_without_a_pidfd(void)
{
    kt_call call = {.function = FUNCTION(pause), .kind = KT_RESULT_INTEGER};
    for (int closed = 0; closed < 2; closed++) {
        kt_process process = started(&call);
        int32_t status;
        close(process.pidfd);
        process.pidfd = closed ? process.pidfd : -1;
        CHECK(kt_process_wait(&process, 0, &status) == -ETIMEDOUT);
        CHECK(kt_process_wait(&process, 5000000, &status) == -ETIMEDOUT);
        CHECK(kill(process.pid, SIGTERM) == 0);
        CHECK(kt_process_wait(&process, -1, &status) == 0);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    }
}

static void a_status_that_went_elsewhere_is_lost(void)
{
    kt_call call = {.function = FUNCTION(add), .integers = {1, 2}, .kind = KT_RESULT_INTEGER};
    kt_process process = started(&call);
    int32_t status = -1;
    CHECK(waitpid(process.pid, &status, 0) == process.pid);
    for (int i = 0; i < 2; i++) {
        CHECK(kt_process_wait(&process, -1, &status) == -ECHILD);
        CHECK(status == 0 && process.status == KT_STATUS_LOST && process.pidfd == -1);
    }
    signal(SIGCHLD, SIG_IGN);
    process = started(&call);
    CHECK(kt_process_wait(&process, -1, &status) == -ECHILD);
    signal(SIGCHLD, SIG_DFL);
}

static void one_that_was_never_made_can_be_asked(void)
{
    kt_process process = {.status = KT_STATUS_NONE};
    kt_process_close(&process);
    CHECK(fcntl(0, F_GETFD) >= 0); /* the process has no descriptors */
    CHECK(kt_process_signal(&process, SIGKILL) == -ESRCH);
    CHECK(kt_process_pidfd(&process) == -ESRCH);
    CHECK(kt_process_wait(&process, -1, NULL) == -ECHILD);
}

static void a_child_that_is_given_up_ends(void)
{
    kt_step steps[] = {{.kind = KT_STEP_GO}, {.kind = KT_STEP_EXEC, .paths = true_paths, .argv = true_argv}};
    kt_process_spec spec = {.exit_signal = SIGCHLD, .steps = steps, .step_count = 2};
    kt_process process;
    kt_failure failure;
    int status;
    CHECK(kt_process_start(&process, &spec, &failure) == 0);
    kt_process_close(&process);
    CHECK(waitpid(process.pid, &status, 0) == process.pid && WEXITSTATUS(status) == 127);
}

static void what_makes_no_sense_is_refused(void)
{
    kt_step go[] = {{.kind = KT_STEP_GO}, {.kind = KT_STEP_EXEC, .paths = true_paths, .argv = true_argv}};
    kt_step shut[] = {{.kind = KT_STEP_CLOSE, .fd = 3, .number = -1}, go[1]};
    kt_step moved[] = {{.kind = KT_STEP_CHDIR, .path = "/"}, go[1]};
    kt_step reset[] = {{.kind = KT_STEP_DEFAULT_SIGNALS, .flags = 1}, go[1]};
    kt_step hidden[] = {{.kind = KT_STEP_NOT_DUMPABLE}, go[1]};
    const kt_process_spec bad[] = {
        {.flags = CLONE_THREAD | CLONE_SIGHAND | CLONE_VM},
        {.flags = CLONE_VM | CLONE_VFORK, .steps = go, .step_count = 2}, /* each would wait for the other */
        {.flags = CLONE_FILES, .steps = shut, .step_count = 2}, /* the step would affect the parent */
        {.flags = CLONE_FS, .steps = moved, .step_count = 2},
        {.flags = CLONE_VM | CLONE_SIGHAND, .steps = reset, .step_count = 2},
        {.flags = CLONE_VM | CLONE_VFORK, .steps = hidden, .step_count = 2},
        {.flags = CLONE_VM | CLONE_SIGHAND | clear_sighand},
        {.uid_map = "0 0 1", .steps = go + 1, .step_count = 1}, /* the child would not wait for its map */
        {.before_clone = 1, .steps = go, .step_count = 2},      /* it might report before its pid is known */
        {.before_clone = 1, .flags = CLONE_VM, .steps = shut, .step_count = 2},
        {.flags = CLONE_VM, .stack_size = 100},
        {.exit_signal = 65},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        kt_process process;
        kt_failure failure;
        CHECK(kt_process_start(&process, &bad[i], &failure) == -EINVAL);
        CHECK(failure.place == KT_AT_CLONE);
    }
}

static volatile sig_atomic_t handled;

static void handle(int number)
{
    handled = number;
}

static void handlers_are_cleared_where_asked_for(void)
{
    kt_call call = {.function = FUNCTION(raise), .integers = {SIGUSR1}, .kind = KT_RESULT_INTEGER};
    uint64_t shared = can_share_memory() ? CLONE_VM : 0;
    kt_process_spec spec = {.flags = shared | clear_sighand, .exit_signal = SIGCHLD, .call = &call};
    signal(SIGUSR1, handle);
    int status = run(&spec);
    signal(SIGUSR1, SIG_DFL);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGUSR1);
    CHECK(handled == 0);
}

static void forked(bool in_namespace)
{
    kt_step steps[] = {{.kind = KT_STEP_GO}};
    kt_process_spec spec = {
        .flags = in_namespace ? CLONE_NEWPID : 0, .exit_signal = SIGCHLD, .steps = steps, .step_count = 1};
    kt_process process;
    kt_failure failure;
    int rc = kt_process_fork(&process, &spec, &failure);
    if (rc == KT_IN_CHILD) {
        void *volatile memory = malloc(1000);
        free(memory);
        _exit(getpid() == 1 ? 11 : 12);
    }
    if ((rc == -EPERM || rc == -EINVAL) && in_namespace) {
        printf("skipped: no new PID namespace\n");
        return;
    }
    CHECK(rc == 0);
    CHECK(WEXITSTATUS(finish_process(&process)) == (in_namespace ? 11 : 12));
}

static void a_forked_process_goes_on_here(void)
{
    forked(false);
    forked(true);
}

/* The first step is the intermediate process's, and only its sibling is left. */
static void a_process_is_made_in_what_another_has_entered(void)
{
    int home = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);
    kt_step steps[] = {{.kind = KT_STEP_SETNS, .fd = home}, {.kind = KT_STEP_GO}};
    kt_call call = {.function = FUNCTION(getppid), .kind = KT_RESULT_INTEGER};
    kt_process_spec spec = {
        .exit_signal = SIGCHLD, .steps = steps, .step_count = 2, .before_clone = 1, .call = &call};
    kt_process process;
    kt_failure failure;
    int rc = kt_process_start(&process, &spec, &failure);
    if (rc == -EPERM) {
        printf("skipped: no namespace can be entered\n");
    } else {
        CHECK(rc == 0 && WEXITSTATUS(finish_process(&process)) == (getpid() & 0xff));
    }
    CHECK(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
    close(home);
}

static void a_step_of_the_intermediate_process_fails_with_its_place(void)
{
    int none = open("/dev/null", O_RDONLY | O_CLOEXEC);
    kt_step steps[] = {{.kind = KT_STEP_SETNS, .fd = none}, {.kind = KT_STEP_GO}};
    kt_call call = {.function = FUNCTION(getppid), .kind = KT_RESULT_INTEGER};
    kt_process_spec spec = {
        .exit_signal = SIGCHLD, .steps = steps, .step_count = 2, .before_clone = 1, .call = &call};
    kt_process process;
    kt_failure failure;
    CHECK(kt_process_start(&process, &spec, &failure) == -EINVAL);
    CHECK(failure.place == 0 && process.channel == -1 && process.pid == -1);
    CHECK(waitpid(-1, NULL, WNOHANG | __WALL) == -1 && errno == ECHILD);
    close(none);
}

/* Waits until a process that writes into a FIFO has come to it, and lets the process continue. */
static void meet(const char *fifo)
{
    char text;
    int fd = open(fifo, O_RDONLY | O_CLOEXEC);
    CHECK(read(fd, &text, 1) == 1);
    close(fd);
}

/* Starts a process that writes into both FIFOs before it asks for the signal; it holds `alive` open. */
static void start_and_wait(uint64_t flags, const char *first, const char *second)
{
    kt_step steps[] = {{.kind = KT_STEP_WRITE, .path = first, .text = "x"},
                       {.kind = KT_STEP_WRITE, .path = second, .text = "x"},
                       {.kind = KT_STEP_PARENT_DEATH, .number = SIGKILL}};
    kt_call call = {.function = FUNCTION(pause), .kind = KT_RESULT_INTEGER};
    kt_process_spec spec = {
        .flags = flags, .exit_signal = SIGCHLD, .steps = steps, .step_count = 3, .call = &call};
    kt_process process;
    kt_failure failure;
    if (kt_process_start(&process, &spec, &failure) < 0) {
        _exit(1);
    }
    pause();
}

/* The starter is killed while the child is between the clone and the step that asks for the signal. */
static void a_child_whose_starter_ends_too_early_ends(void)
{
    const uint64_t kinds[] = {0, can_share_memory() ? CLONE_VM | CLONE_VFORK : 0,
                              geteuid() ? 0 : CLONE_NEWPID};
    for (int i = 0; i < 3; i++) {
        char folder[] = "/tmp/kthreads-XXXXXX", first[64], second[64], text;
        int alive[2];
        CHECK(mkdtemp(folder) && pipe(alive) == 0);
        snprintf(first, sizeof first, "%s/first", folder);
        snprintf(second, sizeof second, "%s/second", folder);
        CHECK(mkfifo(first, 0600) == 0 && mkfifo(second, 0600) == 0);
        pid_t starter = fork();
        if (starter == 0) {
            start_and_wait(kinds[i], first, second);
        }
        close(alive[1]);
        meet(first);
        CHECK(kill(starter, SIGKILL) == 0 && waitpid(starter, NULL, 0) == starter);
        meet(second);
        CHECK(read(alive[0], &text, 1) == 0); /* its end closes the pipe */
        close(alive[0]);
        CHECK(unlink(first) == 0 && unlink(second) == 0 && rmdir(folder) == 0);
    }
}

static void nothing_is_left_open(void)
{
    int before = dup(0);
    a_program_runs_whatever_is_shared();
    a_program_that_is_not_there_is_told_with_its_step();
    int after = dup(0);
    CHECK(after == before + 1);
    close(before);
    close(after);
}

int main(void)
{
    if (is_under_valgrind()) {
        printf("skipped: Valgrind ends at clones that it does not know\n");
        return 77;
    }
    RUN(a_program_runs_whatever_is_shared);
    RUN(a_program_that_is_not_there_is_told_with_its_step);
    RUN(a_function_s_result_is_the_exit_status);
    if (kt_features() & KT_FEATURE_CLONE3) { /* emulators support only the flags of fork */
        RUN(a_child_with_another_exit_signal_is_waited_for);
    }
    RUN(a_child_waits_until_it_is_let_go);
    RUN(what_was_seen_of_an_end_is_known);
    RUN(the_signal_that_ended_it_is_known);
    RUN(an_end_is_seen_without_a_pidfd);
    RUN(a_status_that_went_elsewhere_is_lost);
    RUN(one_that_was_never_made_can_be_asked);
    RUN(a_child_that_is_given_up_ends);
    RUN(what_makes_no_sense_is_refused);
    RUN(handlers_are_cleared_where_asked_for);
    if (kt_features() & KT_FEATURE_CLONE3 && !(kt_features() & KT_FEATURE_SANITIZED)) {
        RUN(a_forked_process_goes_on_here);
    }
    if (kt_features() & KT_FEATURE_CLONE3) {
        RUN(a_child_whose_starter_ends_too_early_ends);
        RUN(a_process_is_made_in_what_another_has_entered);
        RUN(a_step_of_the_intermediate_process_fails_with_its_place);
    }
    RUN(nothing_is_left_open);
    return 0;
}
