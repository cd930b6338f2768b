/* One thread made, run through what libc keeps per thread, and joined, before any other is made. */
#define _GNU_SOURCE
#include "fork.h"
#include "thread.h"

#include <ctype.h>
#include <stdlib.h>

struct kt__libc kt__libc;

static const char *missing;

struct check {
    const int *starter_errno;
    pthread_key_t key;
    bool key_destroyed;
    const char *failed;
};

static void destroy_key(void *argument)
{
    ((struct check *)argument)->key_destroyed = true;
}

static bool on_own_stack(void)
{
    pthread_attr_t attributes;
    void *low;
    size_t size;
    char here;
    if (pthread_getattr_np(pthread_self(), &attributes) != 0) {
        return false;
    }
    int rc = pthread_attr_getstack(&attributes, &low, &size);
    pthread_attr_destroy(&attributes);
    return rc == 0 && &here > (char *)low && &here < (char *)low + size;
}

static bool errno_is_private(const struct check *check)
{
    errno = 0;
    close(-1);
    return errno == EBADF && &errno != check->starter_errno;
}

static bool allocates(void)
{
    void *volatile memory = malloc(100);
    free(memory);
    return memory != NULL;
}

static void run_checks(struct check *check)
{
    if (!errno_is_private(check)) {
        check->failed = "self-check: errno";
    } else if (!allocates()) {
        check->failed = "self-check: malloc";
    } else if (toupper('k') != 'K') {
        check->failed = "self-check: locale tables";
    } else if (!on_own_stack()) {
        check->failed = "self-check: stack bounds";
    } else if (pthread_setspecific(check->key, check) != 0) {
        check->failed = "self-check: thread-specific data";
    } else {
        check->failed = NULL;
    }
}

static const char *self_check(void)
{
    struct check check = {.starter_errno = &errno, .failed = "self-check: start of a thread"};
    kt_thread *thread;
    kt_spec spec = {.flags = 0x200 | 0x400 | 0x40000 /* CLONE_FS|CLONE_FILES|CLONE_SYSVSEM */};
    kt_call call = {.function = (kt_function)(uintptr_t)run_checks,
                    .integers = {(uint64_t)(uintptr_t)&check}};
    if (pthread_key_create(&check.key, destroy_key) != 0) {
        return "a free pthread key for the self-check";
    }
    if (kt__start(&thread, &spec, &call) == 0) {
        while (kt_thread_wait(thread, -1, NULL) == -EINTR) {
        }
        kt_thread_free(thread);
        if (!check.failed && !check.key_destroyed) {
            check.failed = "self-check: key destructors";
        }
    }
    pthread_key_delete(check.key);
    return check.failed;
}

static void probe_and_check(void)
{
    if (!kt__fork_handled()) {
        missing = "memory for fork handlers";
        return;
    }
    if (KT_THREAD_SANITIZER) {
        return; /* its runtime has a TLS that the probe's stack cannot hold, and nothing of this is used */
    }
    missing = kt__libc_find(&kt__libc);
    kt__libc.found.destructors &= !KT_ADDRESS_SANITIZER;
    if (!missing) {
        missing = self_check();
    }
}

int kt__ready(void)
{
    static _Atomic(bool) ready;
    if (!atomic_load_explicit(&ready, memory_order_acquire)) {
        kt__lock_probing();
        if (!atomic_load_explicit(&ready, memory_order_relaxed)) {
            probe_and_check();
            atomic_store_explicit(&ready, true, memory_order_release);
        }
        kt__unlock_probing();
    }
    return missing ? -ENOTSUP : 0;
}

int kt_libc_probe(kt_libc *libc)
{
    int rc = kt__ready();
    if (libc) {
        *libc = kt__libc.found;
    }
    return rc;
}

const char *kt_libc_missing(void)
{
    return missing;
}
