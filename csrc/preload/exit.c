/* pthread_exit and thrd_exit of the main thread. The process then ends with its last thread, for which libc
 * counts the parked ones, too. So no thread stays parked from now on. */
#define _GNU_SOURCE
#include "preload/preload.h"

KT_INTERPOSED void pthread_exit(void *value)
{
    const struct kt__preload *preload = kt__preload();
    if (pthread_self() == preload->main_thread && preload->options & KT_OPTION_REUSE) {
        kt_park_timeout(0);
        kt_trim();
    }
    preload->next.exit(value);
    __builtin_unreachable();
}

KT_INTERPOSED void thrd_exit(int value)
{
    pthread_exit((void *)(intptr_t)value);
}
