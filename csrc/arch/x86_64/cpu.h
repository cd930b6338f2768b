/* The differences between architectures that C code needs. */
#ifndef KT_CPU_H
#define KT_CPU_H

#include <stdint.h>

#define KT_CACHE_LINE 128 /* two lines: the adjacent-line prefetcher fetches pairs */

/* The order of clone(2)'s last two arguments (man 2 clone, "C library/kernel differences"). */
#define KT_CLONE_ARGUMENTS(flags, sp, ptid, ctid, tls) flags, sp, ptid, ctid, tls

/* TLS variant II: the thread pointer is the address of the descriptor, and static TLS lies below it. */
#define KT_TLS_BELOW 1

/* Integer registers for arguments beyond KT_INTEGER_ARGUMENTS. */
#define KT_MORE_INTEGER_REGISTERS 0

static inline void kt__pause(void)
{
    __builtin_ia32_pause();
}

/* A system call that uses nothing of libc, not even errno. */
static inline long kt__bare_syscall(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    __asm__ volatile("syscall"
                     : "+a"(number)
                     : "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return number;
}

/* The register that CLONE_SETTLS sets, read by a system call: reading FS directly needs FSGSBASE. */
static inline uint64_t kt__thread_pointer(void)
{
    enum { ARCH_PRCTL = 158, ARCH_GET_FS = 0x1003 };
    uint64_t pointer = 0;
    kt__bare_syscall(ARCH_PRCTL, ARCH_GET_FS, (long)&pointer, 0, 0, 0, 0);
    return pointer;
}

/* The controls of rounding, traps and denormals: the x87 control word, and MXCSR, which also holds the sticky
 * exception flags. */
enum { KT_FLOAT_FLAGS = 0x3f };

static inline uint64_t kt__float_control(void)
{
    uint32_t mxcsr;
    uint16_t x87;
    __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
    __asm__ volatile("fnstcw %0" : "=m"(x87));
    return (uint64_t)x87 << 32 | mxcsr;
}

static inline void kt__set_float_control(uint64_t control)
{
    uint32_t mxcsr = (uint32_t)control;
    uint16_t x87 = (uint16_t)(control >> 32);
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
    __asm__ volatile("fldcw %0" : : "m"(x87));
}

#endif
