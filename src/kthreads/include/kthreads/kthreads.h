/* Linux kernel threads by clone(2) with a whole libc, for C and C++ programs. See api.h. */
#ifndef KTHREADS_H
#define KTHREADS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "api.h"
#include "process.h"

#ifdef __cplusplus
}
#endif

#endif
