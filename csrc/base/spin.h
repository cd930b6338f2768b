/* A spinning wait with a time limit: `while (!done && kt__spin(&spin))`. */
#ifndef KT_SPIN_H
#define KT_SPIN_H

#include "cpu.h"
#include "base/futex.h"

enum { KT_SPIN_LOOKS = 16 }; /* pauses between two reads of the clock, which cost more than a pause */

struct kt__spin {
    int64_t budget_ns;  /* counted from the first read of the clock */
    kt__deadline until; /* 0 before the first read */
    uint32_t looks;
};

/* Pauses the CPU briefly. False when the time is over. */
static inline bool kt__spin(struct kt__spin *spin)
{
    if (++spin->looks % KT_SPIN_LOOKS == 0) {
        int64_t now = kt__now();
        if (spin->until == 0) {
            spin->until = now + spin->budget_ns;
        }
        if (now >= spin->until) {
            return false;
        }
    }
    kt__pause();
    return true;
}

#endif
