/* libc/: what libc keeps for each thread: the probe that finds its layout, the thread descriptors that are
 * made from a template, and the initial values of thread-local variables. It may use base/.
 *
 * This file: the findings of the probe, and the template of a thread descriptor. */
#ifndef KT_LIBC_H
#define KT_LIBC_H

#include "base/futex.h"
#include "base/syscall.h"

#include <kthreads/kthreads.h>
#include <pthread.h>
#include <stdbool.h>

/* A link of libc's doubly linked lists (include/list.h of glibc). */
struct kt__ring {
    struct kt__ring *next, *prev;
};

struct kt__value { /* struct pthread_key_data */
    uintptr_t sequence;
    void *data;
};

struct kt__key { /* struct pthread_key_struct */
    uintptr_t sequence;
    void (*destructor)(void *);
};

/* A module's slot: the generation in which the module was loaded, and its link_map, NULL if it is not
 * loaded. */
struct kt__slot { /* struct dtv_slotinfo */
    _Atomic(uintptr_t) generation;
    _Atomic(void *) module;
};

struct kt__slots { /* struct dtv_slotinfo_list: lists are only ever appended, and all but the last are full */
    size_t length;
    _Atomic(struct kt__slots *) next;
    struct kt__slot slot[];
};

enum { KT_KEY_BLOCKS = 32, KT_KEYS_A_BLOCK = 32, KT_REBASED_MAX = 32 };

struct kt__libc {
    kt_libc found;
    size_t dtv_offset;
    char *template;                   /* descriptor_size bytes: a copy of the probe's descriptor */
    uintptr_t template_address;       /* the address of the probe's descriptor */
    uint16_t rebased[KT_REBASED_MAX]; /* offsets of the words of the template that point into the probe's
                                         descriptor */
    size_t rebased_count;
    uintptr_t own_modules[2]; /* the addresses at which libc and the dynamic linker are loaded */

    void *(*allocate_tls)(void *);
    void (*deallocate_tls)(void *, bool);
    unsigned *thread_count;
    void (*start_thread)(void *);

    struct kt__ring *threads; /* libc's list of threads on stacks that libc did not allocate; NULL if it was
                                 not found for certain */
    kt__word *threads_lock;

    void (*call_tls_destructors)(void); /* NULL, as the next two, where a parked thread cannot be reset */
    const struct kt__key *keys;
    struct kt__slots *const *slots;
};

/* The findings, valid once kt__ready (thread/selfcheck.c) has returned 0. */
extern struct kt__libc kt__libc;

/* The signals that a parked thread blocks: all but the synchronous ones, SIGABRT, and the two that libc uses
 * for cancellation and for a setuid of all threads. The descriptors' template has this mask. */
extern const kt__signals kt__parked_signals;

/* A starter's mask as its new thread gets it: without the two signals of libc, which no thread may block. */
kt__signals kt__inheritable_signals(kt__signals mask);

/* Fills *libc. As a side effect, libc considers the process multi-threaded from now on. Returns -ENOTSUP,
 * with the name of what is missing in *missing. Returns -ENOMEM, or the error of the thread's creation, when
 * nothing could be found out this time.
 *
 * The calling thread looks up all symbols. It may hold the loader's locks, as the constructor of a library
 * does. It must hold no lock of the engine, as another thread may wait for that lock while it holds the
 * loader's. */
int kt__libc_find(struct kt__libc *libc, const char **missing);

/* Frees what kt__libc_find has allocated. Allowed after a failure, too. */
void kt__libc_drop(struct kt__libc *libc);

#endif
