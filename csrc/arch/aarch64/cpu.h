/* What differs between architectures, seen from C. */
#ifndef KT_CPU_H
#define KT_CPU_H

#include <stdint.h>

#define KT_CACHE_LINE 128

/* Order of clone(2)'s last two arguments (man 2 clone, "C library/kernel differences"). */
#define KT_CLONE_ARGUMENTS(flags, sp, ptid, ctid, tls) flags, sp, ptid, tls, ctid

/* TLS variant I: the thread pointer is the descriptor's end, static TLS lies above it. */
#define KT_TLS_BELOW 0

static inline void kt__pause(void)
{
    __asm__ volatile("isb" ::: "memory");
}

/* Rounding, traps and denormals: FPCR. The sticky exception flags are a register of their own. */
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
