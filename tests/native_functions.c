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

/* ---- Bodies of parallel loops ----------------------------------------------------------------------- */

void add_one_to_each(long begin, long end, double *values)
{
    for (long i = begin; i < end; i++) {
        values[i] += 1;
    }
}

void store_indices(long begin, long end, long step, long *values)
{
    for (long i = begin; step > 0 ? i < end : i > end; i += step) {
        values[i] += i;
    }
}

void axpy(size_t begin, size_t end, double a, const double *x, double *y)
{
    for (size_t i = begin; i < end; i++) {
        y[i] += a * x[i];
    }
}

void sum_into(long begin, long end, const double *values, double *sum)
{
    for (long i = begin; i < end; i++) {
        *sum += values[i];
    }
}

void count_worker(long begin, long end, int worker, long *counts)
{
    counts[worker] += end - begin;
}

int fail_in(long begin, long end, long bad)
{
    if (begin <= bad && bad < end) {
        errno = ENOSPC;
        return -3;
    }
    return 0;
}

/* Waits until the token is cancelled: the flag is set by the other side. */
void wait_for_token(long begin, long end, const volatile int *token, int *arrived)
{
    (void)begin, (void)end;
    __atomic_store_n(arrived, 1, __ATOMIC_SEQ_CST);
    while (!*token) {
        usleep(100);
    }
}

void nap(long begin, long end, int *arrived)
{
    (void)begin, (void)end;
    __atomic_store_n(arrived, 1, __ATOMIC_SEQ_CST);
    usleep(1000);
}

/* One chunk each, on as many threads as there are items: all wait for all. */
void meet(long begin, long end, int *arrived, int expected)
{
    (void)begin, (void)end;
    __atomic_add_fetch(arrived, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(arrived, __ATOMIC_SEQ_CST) < expected) {
        usleep(100);
    }
}

/* ---- Tasks ------------------------------------------------------------------------------------------ */

/* Counts itself in, then waits until the gate is opened. */
int pass_gate(int *arrived, const int *gate)
{
    __atomic_add_fetch(arrived, 1, __ATOMIC_SEQ_CST);
    while (!__atomic_load_n(gate, __ATOMIC_SEQ_CST)) {
        usleep(100);
    }
    return 7;
}

/* ---- Functions of numbers, for maps ---- */

double minus(double a, double b)
{
    return a - b;
}
double weigh(double a, int8_t b, float c, uint16_t d, double e, int64_t f, bool g, double h, double i)
{
    return a + 2 * b + 3 * (double)c + 4 * d + 5 * e + 6 * (double)f + 7 * g + 8 * h + 9 * i;
}
int64_t combine(int64_t a, uint8_t b, int32_t c)
{
    return a + 10 * (int64_t)b + 100 * (int64_t)c;
}
double scaled(int n, double x)
{
    return n * x;
}
int next_number(void)
{
    static int number;
    return __atomic_add_fetch(&number, 1, __ATOMIC_RELAXED);
}

double rest(double x)
{
    usleep(1000);
    return x;
}

/* pass_gate with addresses for numbers. */
double wait_at(double x, uint64_t arrived, uint64_t gate)
{
    pass_gate((int *)(uintptr_t)arrived, (const int *)(uintptr_t)gate);
    return x;
}

/* Called with narrower types, too: their values are the low bits of the register. */
int64_t return_it(int64_t value)
{
    return value;
}

/* More parameters than there are registers. The result tells each from every other. */
double weigh_twenty(int8_t a, int64_t b, uint8_t c, int d, int64_t e, uint16_t f, float g, double h, double i,
                    double j, double k, double l, double m, float n, int8_t o, float p, const char *q,
                    double r, bool s, unsigned t)
{
    return a + 2 * (double)b + 3 * c + 4 * d + 5 * (double)e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j +
           11 * k + 12 * l + 13 * m + 14 * n + 15 * o + 16 * p + 17 * (double)(q == NULL ? 0 : strlen(q)) +
           18 * r + 19 * s + 20.0 * t;
}

/* A loop's body with more parameters than there are registers: rows[i] = i + the sum of the numbers. */
int fill_with_sum(uint64_t begin, uint64_t end, int a, int b, int c, int d, int64_t e, int64_t *rows)
{
    for (uint64_t i = begin; i < end; i++) {
        rows[i] = (int64_t)i + a + b + c + d + e;
    }
    return 0;
}

/* Only integers, of which the last comes in memory. */
int64_t last_of_eight(int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f, int8_t g, int64_t h)
{
    return a + b + c + d + e + f + g == 0 ? h : -1;
}
