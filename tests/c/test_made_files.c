/* Folders, files and links that a child makes before its program. */
#define _GNU_SOURCE
#include "test.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/kthreads-XXXXXX";
static char made[64];

/* Where the step fails: its errno value; 0 for none. */
static int error_of(kt_step step)
{
    kt_call call = {.function = FUNCTION(getpid), .kind = KT_RESULT_INTEGER};
    kt_process_spec spec = {.exit_signal = SIGCHLD, .steps = &step, .step_count = 1, .call = &call};
    kt_process process;
    kt_failure failure = {0};
    CHECK(kt_process_start(&process, &spec, &failure) == 0);
    int rc = kt_process_go(&process, &failure);
    if (rc < 0) {
        CHECK(failure.place == 0 && failure.error == -rc);
        return -rc;
    }
    CHECK(kt_process_wait(&process, -1, NULL) == 0);
    kt_process_close(&process);
    return 0;
}

static mode_t mode_of(const char *path)
{
    struct stat status;
    CHECK(lstat(path, &status) == 0);
    return status.st_mode & 07777;
}

static void files_have_the_mode_that_is_meant(void)
{
    const struct {
        int32_t kind;
        mode_t mode;
    } kinds[] = {{KT_STEP_MKDIR, 01777}, {KT_STEP_MKFILE, 0644}};
    mode_t before = umask(077);
    for (int i = 0; i < 2; i++) {
        CHECK(error_of((kt_step){.kind = kinds[i].kind, .path = made, .number = kinds[i].mode}) == 0);
        CHECK(mode_of(made) == kinds[i].mode);
        CHECK(remove(made) == 0);
    }
    CHECK(umask(before) == 077);
}

static void what_is_there_is_kept_if_it_serves(void)
{
    kt_step folder_step = {.kind = KT_STEP_MKDIR, .path = made, .number = 0755};
    kt_step link_step = {.kind = KT_STEP_SYMLINK, .path = made, .text = "target"};
    CHECK(mkdir(made, 0700) == 0);
    CHECK(error_of(folder_step) == 0 && mode_of(made) == 0700);
    CHECK(error_of(link_step) == EEXIST);
    CHECK(rmdir(made) == 0);
    CHECK(error_of(link_step) == 0 && error_of(link_step) == 0);
    CHECK(error_of(folder_step) == ENOENT); /* the link leads nowhere */
    link_step.text = "target2";
    CHECK(error_of(link_step) == EEXIST);
    CHECK(unlink(made) == 0);
    CHECK(error_of((kt_step){.kind = KT_STEP_MKFILE, .path = made, .number = 0600}) == 0);
    CHECK(error_of(folder_step) == ENOTDIR);
    CHECK(unlink(made) == 0);
}

static void they_are_refused_where_they_would_change_the_umask_of_the_parent(void)
{
    kt_call call = {.function = FUNCTION(getpid), .kind = KT_RESULT_INTEGER};
    for (int32_t kind = KT_STEP_MKDIR; kind <= KT_STEP_SYMLINK; kind++) {
        kt_step step = {.kind = kind, .path = made, .text = "x", .number = 0700};
        kt_process_spec spec = {
            .flags = CLONE_FS, .exit_signal = SIGCHLD, .steps = &step, .step_count = 1, .call = &call};
        kt_process process;
        kt_failure failure;
        CHECK(kt_process_start(&process, &spec, &failure) == -EINVAL);
    }
}

static void ids_of_files_need_a_user_namespace(void)
{
    CHECK(kt_tree_with_ids("/nowhere", -1) < 0);
    CHECK(kt_tree_with_ids(folder, -1) < 0);
}

int main(void)
{
    if (is_under_valgrind()) {
        printf("skipped: Valgrind ends at clones that it does not know\n");
        return 77;
    }
    if (syscall(SYS_openat2, -1, "", NULL, 0) < 0 && errno == ENOSYS) {
        printf("skipped: openat2 is missing, as under qemu-user\n");
        return 77;
    }
    CHECK(mkdtemp(folder));
    snprintf(made, sizeof made, "%s/made", folder);
    RUN(files_have_the_mode_that_is_meant);
    RUN(what_is_there_is_kept_if_it_serves);
    RUN(they_are_refused_where_they_would_change_the_umask_of_the_parent);
    RUN(ids_of_files_need_a_user_namespace);
    CHECK(rmdir(folder) == 0);
    return 0;
}
