/* Processes, for comparison. */
#define _GNU_SOURCE
#include "bench/maker.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

int kt__fork_start(struct kt__made *made)
{
    made->pid = fork();
    if (made->pid == 0) {
        made->function(made->argument);
        _exit(0);
    }
    return made->pid < 0 ? -errno : 0;
}

int kt__vfork_start(struct kt__made *made)
{
    static char *const arguments[] = {(char *)(uintptr_t)"true", NULL}, *const environment[] = {NULL};
    made->pid = vfork();
    if (made->pid == 0) {
        execve("/bin/true", arguments, environment);
        _exit(127);
    }
    return made->pid < 0 ? -errno : 0;
}

int kt__process_join(struct kt__made *made)
{
    int status;
    while (waitpid(made->pid, &status, 0) < 0) {
        if (errno != EINTR) {
            return -errno;
        }
    }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -ECHILD;
}
