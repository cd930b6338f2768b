/* The thread descriptor of libc: struct pthread, with static TLS and DTV, at the top of a stack. */
#ifndef KT_DESCRIPTOR_H
#define KT_DESCRIPTOR_H

#include "libc/libc.h"

/* The bytes at the top of a stack that a descriptor and its TLS need. */
size_t kt__descriptor_room(const struct kt__libc *libc);

struct kt__descriptor {
    char *address; /* of struct pthread: pthread_self() of the thread */
    char *stack_top;
    uintptr_t tls; /* the thread pointer for CLONE_SETTLS */
};

/* Builds a descriptor at the top of [low, low + size), for a thread that libc will start with
 * routine(argument). Takes libc's lock for TLS, so the caller must hold none of the engine's locks. Returns 0
 * or -ENOMEM. */
int kt__descriptor_make(const struct kt__libc *libc, char *low, size_t size, void *(*routine)(void *),
                        void *argument, struct kt__descriptor *out);

/* Frees what libc has allocated for the descriptor. The thread must have ended. */
void kt__descriptor_drop(const struct kt__libc *libc, char *descriptor);

/* Add a descriptor to libc's list of threads, or remove it. The caller holds the engine's lock, so that no
 * fork happens meanwhile. The caller must not block signals: setuid holds libc's lock while it waits for
 * every thread to handle a signal. */
void kt__descriptor_link(const struct kt__libc *libc, char *descriptor);
void kt__descriptor_unlink(const struct kt__libc *libc, char *descriptor);

/* Sets the signal mask that the thread gets when libc has set it up. Only where its offset was found. */
void kt__descriptor_set_signals(const struct kt__libc *libc, char *descriptor, kt__signals mask);

/* What the start routine has returned, or the value of pthread_exit, or PTHREAD_CANCELED. */
void *kt__descriptor_result(const struct kt__libc *libc, const char *descriptor);

int32_t *kt__descriptor_tid(const struct kt__libc *libc, char *descriptor);

#endif
