/* Resets a reusable thread between two runs. */
#define _GNU_SOURCE
#include "libc/descriptor.h"
#include "libc/tls_images.h"
#include "thread/thread.h"

#include <limits.h>
#include <locale.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

/* Makes one pass over the values of all keys, as nptl/nptl_deallocate_tsd.c does. Returns false when no value
 * with a destructor was set. */
static bool destroy_values(struct kt__value *const *blocks)
{
    bool any = false;
    for (size_t b = 0; b < KT_KEY_BLOCKS; b++) {
        for (size_t i = 0; blocks[b] && i < KT_KEYS_A_BLOCK; i++) {
            struct kt__value *slot = &blocks[b][i];
            const struct kt__key *key = &kt__libc.keys[b * KT_KEYS_A_BLOCK + i];
            void *data = slot->data;
            slot->data = NULL;
            if (data && slot->sequence == key->sequence && key->destructor) {
                any = true;
                key->destructor(data);
            }
        }
    }
    return any;
}

/* Clears the values that remain after the last pass. libc drops them, too. */
static void clear_values(struct kt__value *const *blocks)
{
    for (size_t b = 0; b < KT_KEY_BLOCKS; b++) {
        for (size_t i = 0; blocks[b] && i < KT_KEYS_A_BLOCK; i++) {
            blocks[b][i].data = NULL;
        }
    }
}

static void run_destructors(void)
{
    char *descriptor = (char *)pthread_self();
    struct kt__value *const *blocks = (void *)(descriptor + kt__libc.found.specific_offset);
    const bool *used = (const bool *)(blocks + KT_KEY_BLOCKS);
    kt__libc.call_tls_destructors();
    int pass = 0;
    while (*used && pass < PTHREAD_DESTRUCTOR_ITERATIONS && destroy_values(blocks)) {
        pass++;
    }
    if (pass > 0) {
        /* The destructors of keys may have made thread_local objects. libc drops these with the thread; here
         * they would be destroyed only after another run. */
        kt__libc.call_tls_destructors();
        clear_values(blocks);
    }
}

static bool holds_robust_mutex(void)
{
    char *descriptor = (char *)pthread_self();
    void *const *head = (void *)(descriptor + kt__libc.found.robust_list_offset);
    return *head != head;
}

void kt__inherited_get(struct kt__inherited *inherited)
{
    memset(inherited, 0, sizeof *inherited);
    kt__syscall(SYS_sched_getaffinity, 0, sizeof inherited->cpus, inherited->cpus);
    inherited->float_control = kt__float_control() & ~(uint64_t)KT_FLOAT_FLAGS;
    prctl(PR_GET_NAME, inherited->name);
    inherited->nice = (int32_t)syscall(SYS_getpriority, PRIO_PROCESS, 0); /* the kernel returns 20 - nice */
}

bool kt__inherited_equal(const struct kt__inherited *a, const struct kt__inherited *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

/* Returns false when the thread lacks the privilege, for instance to raise its priority again. */
static bool restore_inherited(const struct kt__inherited *wanted)
{
    struct kt__inherited now;
    kt__inherited_get(&now);
    if (kt__inherited_equal(&now, wanted)) {
        return true;
    }
    prctl(PR_SET_NAME, wanted->name);
    kt__syscall(SYS_sched_setaffinity, 0, sizeof wanted->cpus, wanted->cpus);
    kt__syscall(SYS_setpriority, PRIO_PROCESS, 0, 20 - wanted->nice);
    kt__inherited_get(&now);
    return kt__inherited_equal(&now, wanted);
}

/* Blocks signals until the next run. Returns false when a signal is pending that the run had blocked. It may
 * have been sent to this thread alone, and then it must not reach the next run. */
static bool block_signals(void)
{
    kt__signals blocked, pending = 0;
    kt__set_signals(kt__parked_signals, &blocked);
    if (blocked) {
        syscall(SYS_rt_sigpending, &pending, sizeof pending);
    }
    return !pending;
}

bool kt__thread_reset(struct kt_thread *thread)
{
    run_destructors();
    if (!block_signals()) {
        return false; /* the thread ends, so that the kernel discards the pending signal */
    }
    if (holds_robust_mutex()) {
        return false; /* the thread ends, so that the kernel marks the mutex */
    }
    if (!kt__images_restore(thread->images)) {
        return false;
    }
    pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
    pthread_setcanceltype(PTHREAD_CANCEL_DEFERRED, NULL);
    uselocale(LC_GLOBAL_LOCALE);
    if (kt__float_control() != thread->inherited.float_control) {
        kt__set_float_control(thread->inherited.float_control);
    }
    return restore_inherited(&thread->inherited);
}
