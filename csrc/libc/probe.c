/* Finds out the layout of libc's data of a thread (glibc 2.34 and later).
 *
 * No layout is compiled in. Sizes and offsets come from the tables that libc exports for debuggers (nptl_db),
 * and functions from dlsym. The rest comes from a probe: a pthread, on a stack whose address and size are
 * known, that examines its own descriptor. Facts that two sources give are compared. On a mismatch the search
 * fails with the name of the fact, and no thread is made.
 *
 * The caller may be the constructor of a library, or a callback of dl_iterate_phdr, and so may hold locks of
 * the loader while it waits for the probe. So the probe only copies data. The caller does all that needs the
 * loader, such as the search of unwind tables, before and after. */
#define _GNU_SOURCE
#include "libc/libc.h"

#include "base/mutex.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define SIGNAL_BIT(signal) ((kt__signals)1 << ((signal) - 1))

enum { SIGNAL_CANCEL = 32, SIGNAL_SETXID = 33 }; /* glibc: sysdeps/unix/sysv/linux/internal-signals.h */

struct kt__libc kt__libc;

const kt__signals kt__parked_signals =
    ~(SIGNAL_BIT(SIGSEGV) | SIGNAL_BIT(SIGBUS) | SIGNAL_BIT(SIGFPE) | SIGNAL_BIT(SIGILL) |
      SIGNAL_BIT(SIGTRAP) | SIGNAL_BIT(SIGABRT) | SIGNAL_BIT(SIGNAL_CANCEL) | SIGNAL_BIT(SIGNAL_SETXID) |
      SIGNAL_BIT(SIGKILL) | SIGNAL_BIT(SIGSTOP) /* these two the kernel leaves out of any mask */);

kt__signals kt__inheritable_signals(kt__signals mask)
{
    return mask & ~(SIGNAL_BIT(SIGNAL_CANCEL) | SIGNAL_BIT(SIGNAL_SETXID));
}

/* Of libgcc: the start of the function that contains an address, by its unwind table. */
extern void *_Unwind_FindEnclosingFunction(void *address);

/* The description of a field that libc exports for debuggers (nptl_db/structs.def). */
struct field {
    uint32_t bits, count, offset;
};

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

/* Without these a thread ends correctly, but cannot be reset for a further run. */
static void find_reset_symbols(struct kt__libc *libc)
{
    static const struct {
        const char *name;
        struct field is;
    } layouts[] = {
        {"_thread_db_dtv_slotinfo_list_len", {64, 1, offsetof(struct kt__slots, length)}},
        {"_thread_db_dtv_slotinfo_list_next", {64, 1, offsetof(struct kt__slots, next)}},
        {"_thread_db_dtv_slotinfo_list_slotinfo", {128, 0, offsetof(struct kt__slots, slot)}},
        {"_thread_db_dtv_slotinfo_gen", {64, 1, offsetof(struct kt__slot, generation)}},
        {"_thread_db_dtv_slotinfo_map", {64, 1, offsetof(struct kt__slot, module)}},
        {"_thread_db_dtv_t_counter", {64, 1, 0}},
        {"_thread_db_dtv_t_pointer_val", {64, 1, 0}},
        {"_thread_db_pthread_key_data_seq", {64, 1, offsetof(struct kt__value, sequence)}},
        {"_thread_db_pthread_key_data_data", {64, 1, offsetof(struct kt__value, data)}},
        {"_thread_db_pthread_key_struct_seq", {64, 1, offsetof(struct kt__key, sequence)}},
        {"_thread_db_pthread_key_struct_destr", {64, 1, offsetof(struct kt__key, destructor)}},
        {"_thread_db___pthread_keys", {128, KT_KEY_BLOCKS * KT_KEYS_A_BLOCK, 0}},
    };
    const char *missing = NULL;
    for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
        const struct field *field = symbol(layouts[i].name, &missing);
        if (!field || memcmp(field, &layouts[i].is, sizeof *field) != 0) {
            return;
        }
    }
    *(void **)&libc->call_tls_destructors = symbol("__call_tls_dtors", &missing);
    libc->keys = symbol("__pthread_keys", &missing);
    char *global = symbol("_rtld_global", &missing);
    size_t slots = field_offset("_thread_db_rtld_global__dl_tls_dtv_slotinfo_list", 64, &missing);
    if (!missing) {
        libc->slots = (struct kt__slots *const *)(void *)(global + slots);
        libc->found.destructors = 1;
    }
}

enum { /* offsets in _rtld_global from _dl_stack_used; unchanged from glibc 2.34 to 2.43 */
       USER_AFTER_USED = 16,
       IN_FLIGHT_AFTER_USED = 56,
       LOCK_AFTER_USED = 64,
       RING_MAX = 1 << 20
};

/* The presumable address of libc's list of threads, or NULL where the offsets are not as expected. */
static char *find_list(void)
{
    const char *missing = NULL;
    char *global = symbol("_rtld_global", &missing);
    size_t used = field_offset("_thread_db_rtld_global__dl_stack_used", 128, &missing);
    size_t user = field_offset("_thread_db_rtld_global__dl_stack_user", 128, &missing);
    return missing || user != used + USER_AFTER_USED ? NULL : global + used;
}

/* An unusual size and an unusual result, to be recognised in the descriptor. */
enum { PROBE_STACK_SIZE = 0x31c40 };
static const uintptr_t probe_result = 0x6b745f726573756c;

struct probe {
    struct kt__libc *libc;
    char *stack;
    char *list; /* from find_list */

    /* What the probe records; it copies its descriptor to libc->template. */
    char *descriptor;
    void *return_address; /* in start_thread */
    const char *robust_list;
    kt__signals mask;
    int32_t tid;
    bool is_listed;
};

/* The head of the list, which is empty and so points to itself. Emulators without robust lists do not report
 * its address. Then it must be where all 64-bit architectures have it, behind tid and robust_prev. */
static const char *robust_list_of(const struct probe *probe)
{
    const char *head = NULL;
    size_t length = 0;
    if (kt__syscall(SYS_get_robust_list, 0, &head, &length) == -ENOSYS) {
        head = probe->descriptor + probe->libc->found.tid_offset + 16;
    }
    return head;
}

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

/* As kt__mutex_lock, but false when the word is presumably no lock: when its value is not one of a lock, or
 * when it does not become free in a second. It naps rather than wait for the futex: an unlock wakes one
 * waiter, which has to lock with the value 2, as there may be more, and one that gives up would take that
 * wake along. */
static bool lock_in_time(kt__word *lock)
{
    const int64_t a_second = 1000000000;
    const struct timespec nap = {.tv_nsec = 50000};
    kt__deadline deadline = kt__deadline_after(a_second);
    uint32_t state = 0;
    while (!atomic_compare_exchange_strong(lock, &state, 1)) {
        if (state > 2 || kt__now() > deadline) {
            return false;
        }
        (void)kt__syscall(SYS_nanosleep, &nap, NULL);
        state = 0;
    }
    return true;
}

/* Whether the presumed list is libc's: the probe is on it, and the words beside it have plausible values.
 * Other threads may change it, hence the lock. */
static bool is_listed(const struct probe *probe)
{
    kt__word *lock = (void *)(probe->list + LOCK_AFTER_USED);
    const uintptr_t *in_flight = (void *)(probe->list + IN_FLIGHT_AFTER_USED);
    const void *ring = probe->descriptor + probe->libc->found.list_offset;
    if (!lock_in_time(lock)) {
        return false;
    }
    bool listed = *in_flight == 0 && ring_holds((void *)(probe->list + USER_AFTER_USED), ring);
    kt__mutex_unlock(lock);
    return listed;
}

static __attribute__((noinline)) void *probe_main(void *argument)
{
    struct probe *probe = argument;
    probe->descriptor = (char *)pthread_self();
    probe->return_address = __builtin_return_address(0);
    probe->tid = (int32_t)syscall(SYS_gettid);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &probe->mask, sizeof probe->mask);
    probe->robust_list = robust_list_of(probe);
    memcpy(probe->libc->template, probe->descriptor, probe->libc->found.descriptor_size);
    probe->is_listed = probe->list && is_listed(probe);
    return (void *)probe_result;
}

/* Calls libc's own pthread_create. Sanitizers and tools interpose theirs, which starts the thread with a
 * function of their own. */
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
        return -rc;
    }
    rc = pthread_attr_setstack(&attributes, probe->stack, PROBE_STACK_SIZE);
    if (rc == 0) {
        /* libc stores the creator's mask in the descriptor for the new thread to start with. This one is
         * unusual, to be recognised there. */
        kt__set_signals(kt__parked_signals, &old);
        rc = create(&thread, &attributes, probe);
        kt__set_signals(old, NULL);
    }
    if (rc == 0) {
        rc = pthread_join(thread, NULL);
    }
    pthread_attr_destroy(&attributes);
    return -rc;
}

static void *word_at(const char *base, size_t offset)
{
    void *word;
    memcpy(&word, base + offset, sizeof word);
    return word;
}

/* The offset of the stack block, which its size follows directly. */
static size_t find_stack_block(const struct kt__libc *libc, const char *stack)
{
    for (size_t at = 0; at + 16 <= libc->found.descriptor_size; at += 8) {
        if (word_at(libc->template, at) == stack &&
            (uintptr_t)word_at(libc->template, at + 8) == PROBE_STACK_SIZE) {
            return at;
        }
    }
    return 0;
}

static size_t find_robust_list(const struct probe *probe)
{
    enum { LENGTH = 24 };
    uintptr_t offset = (uintptr_t)probe->robust_list - (uintptr_t)probe->descriptor;
    bool inside =
        offset < probe->libc->found.descriptor_size && offset + LENGTH <= probe->libc->found.descriptor_size;
    return inside && word_at(probe->libc->template, offset) == probe->robust_list ? offset : 0;
}

/* The offset of the only word with this value, or 0 where it is not certain. */
static size_t find_word(const struct probe *probe, const char *descriptor, uintptr_t value)
{
    size_t found = 0, matches = 0;
    for (size_t at = 8; at + 8 <= probe->libc->found.descriptor_size; at += 8) {
        if ((uintptr_t)word_at(descriptor, at) == value) {
            found = at;
            matches++;
        }
    }
    return matches == 1 ? found : 0;
}

static bool note_rebased_words(struct kt__libc *libc)
{
    size_t size = libc->found.descriptor_size;
    for (size_t at = 0; at + 8 <= size; at += 8) {
        uintptr_t value = (uintptr_t)word_at(libc->template, at);
        if (value < libc->template_address || value >= libc->template_address + size) {
            continue;
        }
        if (libc->rebased_count == KT_REBASED_MAX) {
            return false;
        }
        libc->rebased[libc->rebased_count++] = (uint16_t)at;
    }
    return true;
}

static void use_list(struct probe *probe)
{
    if (probe->is_listed) {
        probe->libc->threads = (void *)(probe->list + USER_AFTER_USED);
        probe->libc->threads_lock = (void *)(probe->list + LOCK_AFTER_USED);
        probe->libc->found.linked = 1;
    }
}

/* Derives the offsets from the probe's records and checks them. Returns the name of a fact that does not
 * hold, or NULL. */
static const char *check_findings(struct probe *probe)
{
    struct kt__libc *libc = probe->libc;
    kt_libc *found = &libc->found;
    int32_t tid;

    libc->template_address = (uintptr_t)probe->descriptor;
    found->stack_block_offset = find_stack_block(libc, probe->stack);
    found->robust_list_offset = find_robust_list(probe);
    /* The mask that start_thread sets on a new thread. */
    found->signal_mask_offset = find_word(probe, libc->template, probe->mask);
    /* start_thread has stored it by now. The probe's stack, and so its descriptor, is still in memory. */
    found->result_offset = find_word(probe, probe->descriptor, probe_result);
    found->start_thread = (uintptr_t)_Unwind_FindEnclosingFunction(probe->return_address);
    libc->start_thread = (void (*)(void *))found->start_thread;
    memcpy(&tid, libc->template + found->tid_offset, sizeof tid);
    use_list(probe);

    const char *specific = word_at(libc->template, found->specific_offset);
    const struct {
        bool holds;
        const char *name;
    } checks[] = {
        {note_rebased_words(libc), "pointers of struct pthread into itself"},
        {found->stack_block_offset, "stackblock of struct pthread"},
        {found->robust_list_offset, "robust_head of struct pthread"},
        {found->result_offset, "result of struct pthread"},
        {found->start_thread && (uintptr_t)probe->return_address - found->start_thread < 4096,
         "start_thread"},
        {tid == probe->tid, "tid of struct pthread"},
        {(uint32_t)probe->mask == (uint32_t)kt__parked_signals, /* emulators reserve a few high signals */
         "signal mask of a new thread"},
        {word_at(libc->template, found->start_routine_offset) == (void *)(uintptr_t)probe_main &&
             word_at(libc->template, found->start_routine_offset + 8) == probe,
         "start_routine of struct pthread"},
        {specific > probe->descriptor && specific < probe->descriptor + found->descriptor_size,
         "specific of struct pthread"},
    };
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (!checks[i].holds) {
            return checks[i].name;
        }
    }
    return NULL;
}

static int probe_and_check(struct probe *probe, const char **missing)
{
    int rc = run_probe(probe);
    if (rc < 0) {
        return rc; /* no thread can be made: that says nothing about libc, and may be temporary */
    }
    *missing = check_findings(probe);
    return *missing ? -ENOTSUP : 0;
}

int kt__libc_find(struct kt__libc *libc, const char **missing)
{
    *libc = (struct kt__libc){0};
    *missing = NULL;
    find_functions(libc, missing);
    find_fields(libc, missing);
    if (*missing) {
        return -ENOTSUP;
    }
    find_reset_symbols(libc);
    int rc = -ENOMEM;
    libc->template = malloc(libc->found.descriptor_size);
    void *stack = mmap(NULL, PROBE_STACK_SIZE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
    if (libc->template && stack != MAP_FAILED) {
        struct probe probe = {.libc = libc, .stack = stack, .list = find_list()};
        rc = probe_and_check(&probe, missing);
    }
    if (stack != MAP_FAILED) {
        munmap(stack, PROBE_STACK_SIZE);
    }
    return rc;
}

void kt__libc_drop(struct kt__libc *libc)
{
    free(libc->template);
    libc->template = NULL;
}
