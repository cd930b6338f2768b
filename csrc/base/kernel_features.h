/* Which features the running kernel has and this process may use. */
#ifndef KT_KERNEL_FEATURES_H
#define KT_KERNEL_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

/* True when the kernel, or a filter of system calls, has refused a feature of enum kt_feature permanently.
 * False while the answer is unknown: the caller then tries the feature, and the call itself reports the
 * error. */
bool kt__lacks(uint32_t feature);

#endif
