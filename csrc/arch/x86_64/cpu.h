/* What differs between architectures, seen from C. */
#ifndef KT_CPU_H
#define KT_CPU_H

#define KT_CACHE_LINE 128 /* two lines: the adjacent-line prefetcher fetches pairs */

/* Order of clone(2)'s last two arguments (man 2 clone, "C library/kernel differences"). */
#define KT_CLONE_ARGUMENTS(flags, sp, ptid, ctid, tls) flags, sp, ptid, ctid, tls

/* TLS variant II: the thread pointer is the descriptor, static TLS lies below it. */
#define KT_TLS_BELOW 1

static inline void kt__pause(void)
{
    __builtin_ia32_pause();
}

#endif
