/* What differs between architectures, seen from C. */
#ifndef KT_CPU_H
#define KT_CPU_H

#include <stdint.h>

#define KT_CACHE_LINE 128 /* two lines: the adjacent-line prefetcher fetches pairs */

/* Order of clone(2)'s last two arguments (man 2 clone, "C library/kernel differences"). */
#define KT_CLONE_ARGUMENTS(flags, sp, ptid, ctid, tls) flags, sp, ptid, ctid, tls

/* TLS variant II: the thread pointer is the descriptor, static TLS lies below it. */
#define KT_TLS_BELOW 1

static inline void kt__pause(void)
{
    __builtin_ia32_pause();
}

/* Rounding, traps and denormals: the x87 control word, and MXCSR with its sticky exception flags. */
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
