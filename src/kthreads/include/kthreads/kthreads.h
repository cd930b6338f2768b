/* Linux kernel threads by clone(2) with a whole libc, for C and C++ programs. See api.h. */
#ifndef KTHREADS_H
#define KTHREADS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef KT_EXPORT /* only where libkthreads.so is built */
#pragma GCC visibility push(default)
#endif

#include "api.h"
#include "process.h"

#ifdef KT_EXPORT
#pragma GCC visibility pop
#endif

#ifdef __cplusplus
}
#endif

#endif
