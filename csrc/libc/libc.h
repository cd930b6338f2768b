/* libc/: a thread as libc sees it: the probe that finds out what libc keeps for a thread, the thread
 * descriptor that is made from it, and the initial values of thread-local variables. It may use base/.
 *
 * This file: what the probe has found, and the template of a thread descriptor. */
#ifndef KT_LIBC_H
#define KT_LIBC_H

#include "base/futex.h"
#include "base/syscall.h"

#include <kthreads/kthreads.h>
#include <pthread.h>
#include <stdbool.h>

/* A list of libc's own kind (include/list.h of glibc). */
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

/* What a module is at present: the generation it was loaded in, and its link_map, NULL for none. */
struct kt__slot { /* struct dtv_slotinfo */
    _Atomic(uintptr_t) generation;
    _Atomic(void *) module;
};

struct kt__slots { /* struct dtv_slotinfo_list: lists are only ever added, and those before are full */
    size_t length;
    _Atomic(struct kt__slots *) next;
    struct kt__slot slot[];
};

enum { KT_KEY_BLOCKS = 32, KT_KEYS_A_BLOCK = 32, KT_REBASED_MAX = 32 };

struct kt__libc {
    kt_libc found;
    size_t dtv_offset;
    char *template;                   /* descriptor_size bytes, as the probe's descriptor was */
    uintptr_t template_address;       /* where the probe's descriptor was */
    uint16_t rebased[KT_REBASED_MAX]; /* words of it that point into it */
    size_t rebased_count;
    uintptr_t own_modules[2]; /* where libc and the dynamic linker are loaded */

    void *(*allocate_tls)(void *);
    void (*deallocate_tls)(void *, bool);
    unsigned *thread_count;
    void (*start_thread)(void *);

    struct kt__ring *threads; /* libc's list of threads on stacks of others, NULL if not trusted */
    kt__word *threads_lock;

    void (*call_tls_destructors)(void); /* NULL, any of these, where a parked thread cannot be made fresh */
    const struct kt__key *keys;
    struct kt__slots *const *slots;
};

/* What was found, once kt__ready (thread/selfcheck.c) has returned 0. */
extern struct kt__libc kt__libc;

/* What a thread of ours blocks: all but the synchronous signals, SIGABRT, and libc's own two, for
 * cancellation and for the setuid that reaches all threads. */
extern const kt__signals kt__thread_signals;

/* Fills *libc. Leaves the process multi-threaded for libc. -ENOTSUP, and in *missing the name of what is
 * missing; -ENOMEM, or why no thread can be made: it could not be found out this time.
 *
 * All symbols are looked up on the calling thread, which may hold the loader's locks, as the constructor of a
 * library does, and with no lock of ours held, as another thread may want that one while it holds the
 * loader's. */
int kt__libc_find(struct kt__libc *libc, const char **missing);

/* Frees what kt__libc_find has filled in, whatever it returned. */
void kt__libc_drop(struct kt__libc *libc);

#endif
