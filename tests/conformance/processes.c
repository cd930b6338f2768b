/* Forks and spawned processes. Each function returns 0, or the line of what did not hold. */
#define _GNU_SOURCE
#include "expect.h"

#include <errno.h>
#include <pthread.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

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
