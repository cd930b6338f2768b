/* The differences between architectures that C code needs. */
#ifndef KT_CPU_H
#define KT_CPU_H

#include <stdint.h>

#define KT_CACHE_LINE 128

/* The order of clone(2)'s last two arguments (man 2 clone, "C library/kernel differences"). */
#define KT_CLONE_ARGUMENTS(flags, sp, ptid, ctid, tls) flags, sp, ptid, tls, ctid

/* TLS variant I: the thread pointer is the end of the descriptor, and static TLS lies above it. */
#define KT_TLS_BELOW 0

/* Integer registers for arguments beyond KT_INTEGER_ARGUMENTS (x6 and x7). */
#define KT_MORE_INTEGER_REGISTERS 2

static inline void kt__pause(void)
{
    __asm__ volatile("isb" ::: "memory");
}

/* A system call that uses nothing of libc, not even errno. */
static inline long kt__bare_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;
    __asm__ volatile("svc #0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5) : "memory");
    return x0;
}

/* The register that CLONE_SETTLS sets. */
static inline uint64_t kt__thread_pointer(void)
{
    uint64_t pointer;
    __asm__ volatile("mrs %0, tpidr_el0" : "=r"(pointer));
    return pointer;
}

/* FPCR controls rounding, traps and denormals. The sticky exception flags are in another register. */
enum { KT_FLOAT_FLAGS = 0 };

static inline uint64_t kt__float_control(void)
{
    uint64_t control;
    __asm__ volatile("mrs %0, fpcr" : "=r"(control));
    return control;
}

static inline void kt__set_float_control(uint64_t control)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(control));
}

#endif
