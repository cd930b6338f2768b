/* Finding out what a thread of this libc is made of (glibc 2.34 and later).
 *
 * Nothing here is compiled in: sizes and offsets come from the tables that libc exports for
 * debuggers (nptl_db), functions by dlsym, and the rest from a probe: a pthread on a stack whose
 * address and size we know, which looks at its own descriptor. Whatever can be told twice is compared; a
 * mismatch names the thing and no thread is made. */
#define _GNU_SOURCE
#include "libc.h"

#include "cpu.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SIGNAL_BIT(signal) ((kt__signals)1 << ((signal) - 1))

enum { SIGNAL_CANCEL = 32, SIGNAL_SETXID = 33 }; /* glibc: sysdeps/unix/sysv/linux/internal-signals.h */

const kt__signals kt__thread_signals =
    ~(SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGILL) |
      SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGABRT) | SIGNAL_BIT(SIGNAL_CANCEL) | SIGNAL_BIT(SIGNAL_SETXID) |
      SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP) /* which the kernel leaves out of any mask */);

/* libgcc: where the function around an address begins, by its unwind table. */
extern void *_Unwind_FindEnclosingFunction(void *address);

/* What libc tells debuggers of a field (nptl_db/structs.def). */
struct field {
    uint32_t bits, count, offset;
};

/* ---- Symbols -------------------------------------------------------------------------------- */

static void *symbol(const char *name, const char **missing)
{
    void *address = dlsym(RTLD_DEFAULT, name);
    if (!address && !*missing) {
        *missing = name;
    }
    return address;
}

static size_t field_offset(const char *name, uint32_t bits, const char **missing)
{
    const struct field *field = symbol(name, missing);
    if (field && bits && field->bits != bits && !*missing) {
        *missing = name;
    }
    return field ? field->offset : 0;
}

static void find_functions(struct kt__libc *libc, const char **missing)
{
    *(void **)&libc->allocate_tls = symbol("_dl_allocate_tls", missing);
    *(void **)&libc->deallocate_tls = symbol("_dl_deallocate_tls", missing);
    libc->thread_count = symbol("__nptl_nthreads", missing);

    void (*static_info)(size_t *, size_t *);
    *(void **)&static_info = symbol("_dl_get_tls_static_info", missing);
    if (static_info) {
        static_info(&libc->found.tls_size, &libc->found.tls_align);
    }

    static const char *const own[] = {"malloc_usable_size", "_rtld_global"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        Dl_info info;
        void *address = symbol(own[i], missing);
        if (address && dladdr(address, &info)) {
            libc->own_modules[i] = (uintptr_t)info.dli_fbase;
        }
    }

    /* Without these two a thread ends as it should, but cannot be started afresh. */
    *(void **)&libc->call_tls_destructors = dlsym(RTLD_DEFAULT, "__call_tls_dtors");
    libc->keys = dlsym(RTLD_DEFAULT, "__pthread_keys");
    libc->found.destructors = libc->call_tls_destructors && libc->keys;
}

static void find_fields(struct kt__libc *libc, const char **missing)
{
    const uint32_t *size = symbol("_thread_db_sizeof_pthread", missing);
    kt_libc *found = &libc->found;
    found->descriptor_size = size ? *size : 0;
    found->tid_offset = field_offset("_thread_db_pthread_tid", 32, missing);
    found->list_offset = field_offset("_thread_db_pthread_list", 128, missing);
    found->specific_offset = field_offset("_thread_db_pthread_specific", 0, missing);
    found->start_routine_offset = field_offset("_thread_db_pthread_start_routine", 64, missing);
    libc->dtv_offset = field_offset("_thread_db_pthread_dtvp", 64, missing);
}

/* ---- The probe ------------------------------------------------------------------------------- */

enum { PROBE_STACK_SIZE = 0x31c40 }; /* odd enough to be recognised in the descriptor */

struct probe {
    struct kt__libc *libc;
    char *stack;
    const char *missing;
};

static void *word_at(const char *base, size_t offset)
{
    void *word;
    memcpy(&word, base + offset, sizeof word);
    return word;
}

/* The stack block and, right behind it, its size. */
static size_t find_stack_block(const char *descriptor, size_t size, const char *stack)
{
    for (size_t at = 0; at + 16 <= size; at += 8) {
        if (word_at(descriptor, at) == stack && (uintptr_t)word_at(descriptor, at + 8) == PROBE_STACK_SIZE) {
            return at;
        }
    }
    return 0;
}

/* The list is empty, so its head points to itself. Emulators that have no robust lists do not tell where
 * it is; then it must be where it is on all 64-bit architectures, behind tid and robust_prev. */
static size_t find_robust_list(const kt_libc *found, const char *descriptor)
{
    const char *head = NULL;
    size_t length = 0;
    if (kt__syscall(SYS_get_robust_list, 0, &head, &length) == -ENOSYS) {
        head = descriptor + found->tid_offset + 16;
        length = 24;
    }
    if (head < descriptor || head + length > descriptor + found->descriptor_size ||
        word_at(head, 0) != head) {
        return 0;
    }
    return (size_t)(head - descriptor);
}

static void note_rebased_words(struct kt__libc *libc, const char **missing)
{
    size_t size = libc->found.descriptor_size;
    for (size_t at = 0; at + 8 <= size; at += 8) {
        uintptr_t value = (uintptr_t)word_at(libc->template, at);
        if (value < libc->template_address || value >= libc->template_address + size) {
            continue;
        }
        if (libc->rebased_count == KT_REBASED_MAX) {
            *missing = "pointers of struct pthread into itself";
            return;
        }
        libc->rebased[libc->rebased_count++] = (uint16_t)at;
    }
}

static void *probe_main(void *argument);

static const char *inspect_descriptor(struct probe *probe, const char *descriptor, void *entry)
{
    struct kt__libc *libc = probe->libc;
    kt_libc *found = &libc->found;
    kt__signals mask;
    const char *missing = NULL;
    int32_t tid;

    memcpy(libc->template, descriptor, found->descriptor_size);
    libc->template_address = (uintptr_t)descriptor;
    found->stack_block_offset = find_stack_block(descriptor, found->descriptor_size, probe->stack);
    found->robust_list_offset = find_robust_list(found, descriptor);
    found->start_thread = (uintptr_t)_Unwind_FindEnclosingFunction(entry);
    libc->start_thread = (void (*)(void *))found->start_thread;
    memcpy(&tid, descriptor + found->tid_offset, sizeof tid);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, sizeof mask);
    note_rebased_words(libc, &missing);

    const char *specific = word_at(descriptor, found->specific_offset);
    const struct {
        bool holds;
        const char *name;
    } checks[] = {
        {!missing, missing},
        {found->stack_block_offset, "stackblock of struct pthread"},
        {found->robust_list_offset, "robust_head of struct pthread"},
        {found->start_thread && (uintptr_t)entry - found->start_thread < 4096, "start_thread"},
        {tid == (int32_t)syscall(SYS_gettid), "tid of struct pthread"},
        {(uint32_t)mask == (uint32_t)kt__thread_signals, /* emulators keep a few high signals to themselves */
         "signal mask of a new thread"},
        {word_at(descriptor, found->start_routine_offset) == (void *)(uintptr_t)probe_main &&
             word_at(descriptor, found->start_routine_offset + 8) == probe,
         "start_routine of struct pthread"},
        {specific > descriptor && specific < descriptor + found->descriptor_size,
         "specific of struct pthread"},
    };
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (!checks[i].holds) {
            return checks[i].name;
        }
    }
    return NULL;
}

/* ---- libc's list of threads -------------------------------------------------------------------- */

enum { /* of _rtld_global, from _dl_stack_used on; unchanged from glibc 2.34 to 2.43 */
       USER_AFTER_USED = 16,
       IN_FLIGHT_AFTER_USED = 56,
       LOCK_AFTER_USED = 64,
       RING_MAX = 1 << 20
};

static bool ring_holds(const struct kt__ring *head, const struct kt__ring *member)
{
    bool held = false;
    const struct kt__ring *at = head;
    for (size_t i = 0; i < RING_MAX; i++) {
        if (!at->next || at->next->prev != at) {
            return false;
        }
        at = at->next;
        if (at == head) {
            return held;
        }
        held |= at == member;
    }
    return false;
}

/* Trusted only if the probe is found on it and the words beside it look like what they should be. */
static void find_thread_list(struct kt__libc *libc, const char *descriptor)
{
    const char *missing = NULL;
    char *global = symbol("_rtld_global", &missing);
    size_t used = field_offset("_thread_db_rtld_global__dl_stack_used", 128, &missing);
    size_t user = field_offset("_thread_db_rtld_global__dl_stack_user", 128, &missing);
    if (missing || user != used + USER_AFTER_USED) {
        return;
    }
    void *threads = global + user;
    void *lock = global + used + LOCK_AFTER_USED;
    void *in_flight = global + used + IN_FLIGHT_AFTER_USED;
    const void *probe = descriptor + libc->found.list_offset;
    if (*(uint32_t *)lock == 0 && *(uintptr_t *)in_flight == 0 && ring_holds(threads, probe)) {
        libc->threads = threads;
        libc->threads_lock = lock;
        libc->found.linked = 1;
    }
}

static __attribute__((noinline)) void *probe_main(void *argument)
{
    struct probe *probe = argument;
    const char *descriptor = (const char *)pthread_self();
    probe->missing = inspect_descriptor(probe, descriptor, __builtin_return_address(0));
    if (!probe->missing) {
        find_thread_list(probe->libc, descriptor);
    }
    return NULL;
}

/* Sanitizers and tools put their own pthread_create before libc's, and their own function before ours. */
static int create(pthread_t *thread, const pthread_attr_t *attributes, struct probe *probe)
{
    int (*libc_create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = pthread_create;
    void *libc = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);
    if (libc) {
        *(void **)&libc_create = dlsym(libc, "pthread_create");
        dlclose(libc);
    }
    return libc_create(thread, attributes, probe_main, probe);
}

static int run_probe(struct probe *probe)
{
    pthread_attr_t attributes;
    pthread_t thread;
    kt__signals old;
    int rc = pthread_attr_init(&attributes);
    if (rc != 0) {
        return rc;
    }
    rc = pthread_attr_setstack(&attributes, probe->stack, PROBE_STACK_SIZE);
    if (rc == 0) {
        /* libc stores its creator's mask in the descriptor for the new thread to begin with: so
         * the template comes to hold the mask of all threads of ours. */
        kt__set_signals(kt__thread_signals, &old);
        rc = create(&thread, &attributes, probe);
        kt__set_signals(old, NULL);
    }
    if (rc == 0) {
        rc = pthread_join(thread, NULL);
    }
    pthread_attr_destroy(&attributes);
    return rc;
}

const char *kt__libc_find(struct kt__libc *libc)
{
    const char *missing = NULL;
    find_functions(libc, &missing);
    find_fields(libc, &missing);
    if (missing) {
        return missing;
    }
    libc->template = malloc(libc->found.descriptor_size);
    char *stack = mmap(NULL, PROBE_STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (!libc->template || stack == MAP_FAILED) {
        return "memory for the probe";
    }
    struct probe probe = {.libc = libc, .stack = stack};
    if (run_probe(&probe) != 0) {
        probe.missing = "pthread_create for the probe";
    }
    munmap(stack, PROBE_STACK_SIZE);
    return probe.missing;
}
