/* What the running kernel can do, and this process may use. */
#ifndef KT_KERNEL_H
#define KT_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

/* True when the kernel, or a filter of system calls, has refused an enum kt_feature for good. While an answer
 * is still out, the feature is to be tried: the call itself then says what is wrong. */
bool kt__lacks(uint32_t feature);

#endif
