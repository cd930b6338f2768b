/* What differs between architectures, seen from C. */
#ifndef KT_CPU_H
#define KT_CPU_H

#define KT_CACHE_LINE 128

/* Order of clone(2)'s last two arguments (man 2 clone, "C library/kernel differences"). */
#define KT_CLONE_ARGUMENTS(flags, sp, ptid, ctid, tls) flags, sp, ptid, tls, ctid

/* TLS variant I: the thread pointer is the descriptor's end, static TLS lies above it. */
#define KT_TLS_BELOW 0

static inline void kt__pause(void)
{
    __asm__ volatile("isb" ::: "memory");
}

#endif
