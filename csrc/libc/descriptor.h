/* A thread as libc sees it: struct pthread, static TLS and DTV, at the top of a stack. */
#ifndef KT_DESCRIPTOR_H
#define KT_DESCRIPTOR_H

#include "libc/libc.h"

/* Bytes at the top of a stack that a descriptor and its TLS take. */
size_t kt__descriptor_room(const struct kt__libc *libc);

struct kt__descriptor {
    char *address; /* of struct pthread; what pthread_self() is on the thread */
    char *stack_top;
    uintptr_t tls; /* the thread pointer for CLONE_SETTLS */
};

/* Builds a descriptor at the top of [low, low + size) for a thread that libc will start with
 * routine(argument). Takes libc's lock for TLS, so that none of ours may be held. -ENOMEM. */
int kt__descriptor_make(const struct kt__libc *libc, char *low, size_t size, void *(*routine)(void *),
                        void *argument, struct kt__descriptor *out);

/* Frees what belongs to the descriptor beside its memory. The thread must have ended. */
void kt__descriptor_drop(const struct kt__libc *libc, char *descriptor);

/* Enters a descriptor into libc's list of threads, or takes it out. The engine's lock must be held,
 * so that no fork happens meanwhile, and signals must not be blocked: setuid holds libc's lock
 * while it waits for every thread to handle a signal. */
void kt__descriptor_link(const struct kt__libc *libc, char *descriptor);
void kt__descriptor_unlink(const struct kt__libc *libc, char *descriptor);

int32_t *kt__descriptor_tid(const struct kt__libc *libc, char *descriptor);

#endif
