/* How a program begins: what becomes of its signals, and which file it is.
 *
 * The engine includes this file, and so does the launcher, which has no libc. Both have kt__syscall. */
#ifndef KT_PROGRAM_H
#define KT_PROGRAM_H

#include <errno.h>
#include <stdint.h>

/* libc's wrapper refuses libc's own two signals. A zeroed action is the default one. */
static inline void kt__set_default(int number)
{
    const uint64_t action[4] = {0};
    (void)kt__syscall(SYS_rt_sigaction, number, action, NULL, sizeof(uint64_t));
}

/* Executes the first of these files that can be executed. Returns the error of the first one that exists, as
 * shells and subprocess do. */
static inline long kt__execute_first(char *const *paths, uint64_t count, char *const *argv, char *const *envp)
{
    long rc = -ENOENT, first_error = 0;
    for (uint64_t i = 0; i < count; i++) {
        rc = kt__syscall(SYS_execve, paths[i], argv, envp);
        if (rc != -ENOENT && rc != -ENOTDIR && !first_error) {
            first_error = rc;
        }
    }
    return first_error ? first_error : rc;
}

#endif
