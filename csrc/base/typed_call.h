/* Calls that need no libc on the thread that makes them. */
#ifndef KT_CALL_H
#define KT_CALL_H

#include <kthreads/kthreads.h>

/* kt_call_run but for errno, which a bare thread does not have. */
void kt__call_without_libc(kt_call *call);

#endif
