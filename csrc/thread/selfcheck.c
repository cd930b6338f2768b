/* The self-check: makes one thread before all others, has it use what libc keeps for each thread, and joins
 * it. */
#define _GNU_SOURCE
#include "base/fork.h"
#include "thread/thread.h"

#include <ctype.h>
#include <stdlib.h>

struct check {
    const int *starter_errno;
    kt__signals starter_signals;
    pthread_key_t key;
    bool key_destroyed;
    int rc;             /* 0, or an error; with -ENOTSUP `failed` is its name */
    const char *failed; /* the check that has failed */
};

static void destroy_key(void *argument)
{
    ((struct check *)argument)->key_destroyed = true;
}

static bool errno_is_private(const struct check *check)
{
    errno = 0;
    close(-1);
    return errno == EBADF && &errno != check->starter_errno;
}

/* Returns 0, or -ENOMEM, which says nothing about libc. */
static int check_malloc(void)
{
    void *volatile memory = malloc(100);
    free(memory);
    return memory ? 0 : -ENOMEM;
}

static int check_stack(void)
{
    pthread_attr_t attributes;
    void *low;
    size_t size;
    char here;
    int rc = pthread_getattr_np(pthread_self(), &attributes);
    if (rc != 0) {
        return -rc; /* for instance of its memory allocation */
    }
    rc = pthread_attr_getstack(&attributes, &low, &size);
    pthread_attr_destroy(&attributes);
    return rc == 0 && &here > (char *)low && &here < (char *)low + size ? 0 : -ENOTSUP;
}

static void run_checks(struct check *check)
{
    const struct {
        int rc;
        const char *name;
    } results[] = {
        {errno_is_private(check) ? 0 : -ENOTSUP, "self-check: errno"},
        {check_malloc(), "self-check: malloc"},
        {toupper('k') == 'K' ? 0 : -ENOTSUP, "self-check: locale tables"},
        {check_stack(), "self-check: stack bounds"},
        {-pthread_setspecific(check->key, check), "self-check: thread-specific data"},
        {kt__blocked_signals() == check->starter_signals ? 0 : -ENOTSUP, "self-check: signal mask"},
    };
    check->rc = 0;
    for (size_t i = 0; i < sizeof results / sizeof results[0] && check->rc == 0; i++) {
        check->rc = results[i].rc;
        check->failed = results[i].name;
    }
}

static void start_and_check(struct check *check)
{
    kt_thread *thread;
    kt_spec spec = {.flags = 0x200 | 0x400 | 0x40000 /* CLONE_FS|CLONE_FILES|CLONE_SYSVSEM */};
    kt_call call = {.function = (kt_function)(uintptr_t)run_checks, .integers = {(uint64_t)(uintptr_t)check}};
    check->failed = "self-check: start of a thread";
    int rc = kt__start(&thread, &spec, &call);
    if (rc < 0) {
        check->rc = rc;
        return;
    }
    while (kt_thread_wait(thread, -1, NULL) == -EINTR) {
    }
    kt_thread_free(thread);
    if (check->rc == 0 && !check->key_destroyed) {
        check->rc = -ENOTSUP;
        check->failed = "self-check: key destructors";
    }
}

/* Returns 0; -ENOTSUP, with the name of what is wrong in *missing; or the reason why the check could not be
 * made now. */
static int self_check(const char **missing)
{
    struct check check = {.starter_errno = &errno,
                          .starter_signals = kt__inheritable_signals(kt__blocked_signals())};
    if (pthread_key_create(&check.key, destroy_key) != 0) {
        return -EAGAIN;
    }
    start_and_check(&check);
    pthread_key_delete(check.key);
    *missing = check.failed;
    /* A seccomp filter that allows pthread_create but refuses the engine's clone is permanent. */
    return check.rc == -EPERM || check.rc == -ENOSYS ? -ENOTSUP : check.rc;
}

/* The last findings, usable or not. Guarded by the engine's lock, as is `published`. */
static kt_libc found_last;

/* Set under the lock, so that no forked child sees it before kt__libc is complete. */
static bool published;

/* Publishes the findings, unless another thread was faster. */
static void publish(struct kt__libc *found, bool understood)
{
    kt__lock();
    found_last = found->found;
    bool first = understood && !published;
    if (first) {
        kt__libc = *found;
        published = true;
    }
    kt__unlock();
    if (!first) {
        kt__libc_drop(found);
    }
}

static int probe_and_check(const char **missing)
{
    struct kt__libc found;
    int rc = kt__handle_forks();
    if (rc < 0 || KT_THREAD_SANITIZER) {
        return rc; /* ThreadSanitizer's TLS does not fit on the probe's stack, and the findings would not be
                      used */
    }
    rc = kt__libc_find(&found, missing);
    found.found.destructors &= !KT_ADDRESS_SANITIZER;
    publish(&found, rc == 0);
    return rc < 0 ? rc : self_check(missing);
}

/* The final result: NULL while there is none, "" when all is well, else the name of what is missing. */
static _Atomic(const char *) verdict;

/* Threads that call this at the same time each run the check. To wait for one of them would need a lock. One
 * thread may want that lock while it holds the loader's, and another hold it while it wants the loader's. */
static int check_until_known(void)
{
    const char *missing = NULL, *unknown = NULL;
    int rc = probe_and_check(&missing);
    if (rc == 0 || rc == -ENOTSUP) {
        atomic_compare_exchange_strong(&verdict, &unknown, rc == 0 ? "" : missing);
    }
    return rc;
}

int kt__ready(void)
{
    const char *known = atomic_load_explicit(&verdict, memory_order_acquire);
    if (!known) {
        return check_until_known();
    }
    return *known ? -ENOTSUP : 0;
}

int kt_libc_probe(kt_libc *libc)
{
    int rc = kt__ready();
    if (libc) {
        kt__lock();
        *libc = found_last;
        kt__unlock();
    }
    return rc;
}

const char *kt_libc_missing(void)
{
    const char *known = atomic_load_explicit(&verdict, memory_order_acquire);
    return known && *known ? known : NULL;
}
