/* Native functions for the tests. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ---- Values in and out ---- */

void nothing(void)
{
}

int8_t same_i8(int8_t x)
{
    return x;
}
uint8_t same_u8(uint8_t x)
{
    return x;
}
int16_t same_i16(int16_t x)
{
    return x;
}
uint16_t same_u16(uint16_t x)
{
    return x;
}
int32_t same_i32(int32_t x)
{
    return x;
}
uint32_t same_u32(uint32_t x)
{
    return x;
}
int64_t same_i64(int64_t x)
{
    return x;
}
uint64_t same_u64(uint64_t x)
{
    return x;
}
float same_float(float x)
{
    return x;
}
double same_double(double x)
{
    return x;
}
bool same_bool(bool x)
{
    return x;
}
char same_char(char x)
{
    return x;
}
void *same_pointer(void *x)
{
    return x;
}
char *same_string(char *x)
{
    return x;
}

double many(int a, double b, int64_t c, float d, uint8_t e, double f, const char *g, double h, int16_t i,
            double j, double k, double l, double m, unsigned n)
{
    return a + 2 * b + 3 * (double)c + 4 * d + 5 * e + 6 * f + 7 * (double)strlen(g) + 8 * h + 9 * i +
           10 * j + 11 * k + 12 * l + 13 * m + 14 * n;
}

double sum(const double *values, size_t count)
{
    double total = 0;
    for (size_t i = 0; i < count; i++) {
        total += values[i];
    }
    return total;
}

void scale(double *values, size_t count, double factor)
{
    for (size_t i = 0; i < count; i++) {
        values[i] *= factor;
    }
}

size_t length(const char *text)
{
    return strlen(text);
}

int fail_with(int error)
{
    errno = error;
    return -1;
}

int starting_errno(void)
{
    return errno;
}

/* ---- Threads ---- */

/* Waits until *gate is not 0: the Python side opens it. */
int wait_for(const volatile int32_t *gate)
{
    while (!__atomic_load_n(gate, __ATOMIC_ACQUIRE)) {
        nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
    }
    return 7;
}

int64_t thread_id(void)
{
    return syscall(SYS_gettid);
}
uint64_t self(void)
{
    return (uint64_t)pthread_self();
}

void exit_thread(void)
{
    pthread_exit(NULL);
}

int change_directory(const char *path)
{
    return chdir(path);
}
int is_directory(const char *path, const char *name)
{
    struct stat status;
    return chdir(path) == 0 && stat(name, &status) == 0;
}

int set_umask(int mask)
{
    return (int)umask((mode_t)mask);
}

int close_descriptor(int descriptor)
{
    return close(descriptor);
}

int get_nice(void)
{
    return getpriority(PRIO_PROCESS, 0);
}

int count_cpus(void)
{
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    return CPU_COUNT(&set);
}

int host_name(const char *name, char *out, size_t size)
{
    return sethostname(name, strlen(name)) == 0 ? gethostname(out, size) : -1;
}

int burn(int64_t iterations)
{
    volatile int64_t sink = 0;
    for (int64_t i = 0; i < iterations; i++) {
        sink += i;
    }
    return sink > 0;
}

/* The lowest address of this thread's stack. */
uint64_t stack_low(void)
{
    pthread_attr_t attributes;
    void *low = NULL;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
        pthread_attr_getstack(&attributes, &low, &size);
        pthread_attr_destroy(&attributes);
    }
    return (uint64_t)(uintptr_t)low;
}

/* Uses about `bytes` of stack, a page at a time. */
int use_stack(size_t bytes)
{
    volatile char page[4096];
    page[0] = (char)bytes;
    return bytes <= sizeof page ? page[0] != 1 : use_stack(bytes - sizeof page) + (page[0] == 1);
}

uint64_t blocked_signals(void)
{
    uint64_t mask = 0;
    syscall(SYS_rt_sigprocmask, 0, NULL, &mask, sizeof mask);
    return mask;
}

/* ---- What a reused thread must not keep ---- */

static _Thread_local int counter = 42;
int count_up(void)
{
    return counter++;
}

static pthread_key_t key;
static int destroyed;

static void destroy(void *value)
{
    (void)value;
    __atomic_add_fetch(&destroyed, 1, __ATOMIC_SEQ_CST);
}

int make_key(void)
{
    return pthread_key_create(&key, destroy);
}
int use_key(void)
{
    int was_set = pthread_getspecific(key) != NULL;
    pthread_setspecific(key, &key);
    return was_set;
}
int destroyed_count(void)
{
    return __atomic_load_n(&destroyed, __ATOMIC_SEQ_CST);
}

int rename_and_pin(void)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(0, &set);
    pthread_setname_np(pthread_self(), "changed");
    return sched_setaffinity(0, sizeof set, &set);
}

int is_named_changed(void)
{
    char name[16];
    pthread_getname_np(pthread_self(), name, sizeof name);
    return strcmp(name, "changed") == 0;
}

/* ---- Kernels that lack something, played by seccomp ---- */

/* From now on `number` (with a third argument of `third`, unless that is -1) fails with `error`. */
int refuse_system_call(long number, int third, int error)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)third, 0, third == -1 ? 0 : 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof program / sizeof program[0], program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
        return -1;
    }
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter);
}
