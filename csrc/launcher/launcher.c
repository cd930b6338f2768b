/* See launcher.h. Compiled without libc, of which it uses the headers alone. */
#include "launcher/launcher.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

#ifdef __x86_64__
static long call(long number, long a, long b, long c, long d, long e, long f)
{
    long result;
    register long r10 __asm__("r10") = d, r8 __asm__("r8") = e, r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}

__asm__(".globl _start\n"
        "_start:\n"
        "    xor %ebp, %ebp\n"
        "    mov %rsp, %rdi\n"
        "    and $-16, %rsp\n"
        "    call kt__launch\n");
#else
static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number, x0 __asm__("x0") = a, x1 __asm__("x1") = b, x2 __asm__("x2") = c,
                     x3 __asm__("x3") = d, x4 __asm__("x4") = e, x5 __asm__("x5") = f;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}

__asm__(".globl _start\n"
        "_start:\n"
        "    mov x29, #0\n"
        "    mov x30, #0\n"
        "    mov x0, sp\n"
        "    bl kt__launch\n");
#endif

#define CALL(number, a, b, c, d, e, f, ...)                                                                  \
    call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define kt__syscall(...) CALL(__VA_ARGS__, 0, 0, 0, 0, 0, 0, 0)

#include "launcher/program.h"
#include "launcher/supervise.h"

struct failure { /* kt_failure */
    int32_t place, error;
};

static void read_options(const char *text, uint64_t options[KT_LAUNCH_OPTIONS])
{
    for (int i = 0; i < KT_LAUNCH_OPTIONS; i++, text++) {
        for (options[i] = 0; *text && *text != ' '; text++) {
            options[i] = options[i] << 4 | (uint64_t)(*text <= '9' ? *text - '0' : *text - 'a' + 10);
        }
    }
}

static void print(const char *text)
{
    size_t length = 0;
    while (text[length]) {
        length++;
    }
    (void)kt__syscall(SYS_write, 2, text, length);
}

/* The texts are libc's. */
static const char *reason_of(long rc)
{
    return rc == -ENOENT    ? ": No such file or directory\n"
           : rc == -EACCES  ? ": Permission denied\n"
           : rc == -ENOEXEC ? ": Exec format error\n"
           : rc == -ENOTDIR ? ": Not a directory\n"
           : rc == -ELOOP   ? ": Too many levels of symbolic links\n"
           : rc == -E2BIG   ? ": Argument list too long\n"
                            : ": it cannot be executed\n";
}

/* Ends as a shell does when it cannot execute a program. */
static _Noreturn void complain(const char *name, long rc)
{
    print(name);
    print(reason_of(rc));
    kt__end(rc == -ENOENT ? 127 : 126);
}

static _Noreturn void fail(const uint64_t *options, const char *name, long rc)
{
    long channel = (long)options[KT_LAUNCH_CHANNEL] - 1;
    if (channel < 0) {
        complain(name, rc);
    }
    struct failure failure = {(int32_t)options[KT_LAUNCH_PLACE], (int32_t)-rc};
    (void)kt__syscall(SYS_sendto, channel, &failure, sizeof failure, MSG_NOSIGNAL, NULL, 0);
    kt__end(127);
}

static void install_filter(const uint64_t *options, const char *name)
{
    static struct sock_filter code[BPF_MAXINSNS];
    long fd = (long)options[KT_LAUNCH_FILTER] - 1;
    if (fd < 0) {
        return;
    }
    long size = kt__syscall(SYS_pread64, fd, code, sizeof code, 0);
    (void)kt__syscall(SYS_close, fd);
    struct sock_fprog program = {.len = (unsigned short)((size_t)size / sizeof *code), .filter = code};
    long rc = size < 0 ? size : kt__syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
    if (rc < 0) {
        fail(options, name, rc);
    }
}

static void erase(char **texts)
{
    for (; *texts; texts++) {
        for (volatile char *each = *texts; *each; each++) {
            *each = 0;
        }
    }
}

/* The init keeps its name, and nothing of the program's arguments and environment. */
static void fork_and_supervise(const uint64_t *options, char **argv, char **envp)
{
    kt__set_default(SIGCHLD); /* while SIGCHLD is ignored no child can be reaped */
    (void)kt__syscall(SYS_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    long pid = kt__syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
    if (pid < 0) {
        fail(options, argv[0], pid);
    }
    if (pid > 0) {
        erase(argv + 1);
        erase(envp);
        kt__supervise((int32_t)pid);
    }
}

/* As execvp(3) does with a file of no format that the kernel knows: a shell reads it. A place before `argv`
 * is free. */
static long execute_by_shell(char **paths, uint64_t count, char **argv, char **envp)
{
    static char shell[] = "/bin/sh";
    for (uint64_t i = 0; i < count; i++) {
        char *path = paths[i];
        if (kt__syscall(SYS_execve, path, argv, envp) == -ENOEXEC) {
            argv[-1] = shell;
            argv[0] = path;
            return kt__syscall(SYS_execve, shell, argv - 1, envp);
        }
    }
    return -ENOEXEC;
}

/* `stack` is as the kernel has left it: argc, argv, NULL, envp, NULL. All signals are blocked. */
__attribute__((used)) _Noreturn void kt__launch(long *stack);

_Noreturn void kt__launch(long *stack)
{
    char **argv = (char **)(stack + 1), **envp = argv + *stack + 1;
    uint64_t options[KT_LAUNCH_OPTIONS];
    if (*stack < 3) {
        kt__end(127);
    }
    read_options(argv[1], options);
    (void)kt__syscall(SYS_prctl, PR_SET_NAME, argv[0], 0, 0, 0);
    (void)kt__syscall(SYS_fcntl, options[KT_LAUNCH_CHANNEL] - 1, F_SETFD, FD_CLOEXEC);
    if (options[KT_LAUNCH_INIT]) {
        fork_and_supervise(options, argv, envp);
    }
    install_filter(options, argv[0]);
    uint64_t mask = options[KT_LAUNCH_MASK], count = options[KT_LAUNCH_PATHS];
    (void)kt__syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, NULL, sizeof mask);
    char **paths = argv + 2;
    long rc = kt__execute_first(paths, count, paths + count, envp);
    if (rc == -ENOEXEC && !options[KT_LAUNCH_CHANNEL]) {
        rc = execute_by_shell(paths, count, paths + count, envp);
    }
    fail(options, argv[0], rc);
}
