/* Typed calls that need no libc on the calling thread. */
#ifndef KT_TYPED_CALL_H
#define KT_TYPED_CALL_H

#include <kthreads/kthreads.h>

/* As kt_call_run, but without errno, which a bare thread does not have. */
void kt__call_without_libc(kt_call *call);

#endif
