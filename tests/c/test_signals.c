/* The signal masks of threads, signals on them, and what the engine does when a signal interrupts it. */
#define _GNU_SOURCE
#include "pool_test.h"

#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#define BIT(signal) (UINT64_C(1) << ((signal) - 1))

static uint64_t set_mask(uint64_t mask)
{
    uint64_t old = 0;
    CHECK(syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, &old, sizeof old) == 0);
    return old;
}

static uint64_t mask_here(void *unused)
{
    (void)unused;
    uint64_t mask = 0;
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, NULL, &mask, sizeof mask);
    return mask;
}

static uint64_t mask_of_started(kt_spec spec)
{
    return finish(start(&spec, FUNCTION(mask_here), NULL));
}

static const uint64_t masks[] = {0, BIT(SIGUSR1) | BIT(SIGTERM), BIT(SIGINT) | BIT(SIGSEGV) | BIT(40),
                                 ~(BIT(SIGKILL) | BIT(SIGSTOP) | BIT(32) | BIT(33))};
enum { MASKS = sizeof masks / sizeof masks[0] };

static void a_thread_has_the_mask_of_its_starter(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        for (int i = 0; i < MASKS; i++) {
            uint64_t old = set_mask(masks[i]);
            uint64_t here = mask_here(NULL), there = mask_of_started(spec_for(*backend));
            CHECK(mask_here(NULL) == here); /* the start leaves the starter's mask as it was */
            set_mask(old);
            CHECK(there == here);
        }
    }
}

static void a_thread_has_the_mask_also_with_settings_and_an_alternate_stack(void)
{
    uint64_t cpus[16] = {0};
    CHECK(syscall(SYS_sched_getaffinity, 0, sizeof cpus, cpus) > 0);
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec spec = spec_for(*backend);
        spec.options = KT_OPTION_ALTSTACK | KT_OPTION_CPU_TIME;
        spec.cpus = cpus;
        spec.cpus_size = sizeof cpus;
        uint64_t old = set_mask(BIT(SIGUSR2));
        uint64_t there = mask_of_started(spec);
        set_mask(old);
        CHECK(there == BIT(SIGUSR2));
    }
}

static uint64_t start_another(const int *backend)
{
    set_mask(BIT(SIGHUP));
    return mask_of_started(spec_for(*backend));
}

static void a_thread_that_a_thread_starts_has_the_mask_of_that_one(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec spec = spec_for(*backend);
        CHECK(finish(start(&spec, FUNCTION(start_another), (void *)(uintptr_t)backend)) == BIT(SIGHUP));
    }
}

static void no_thread_can_block_the_two_signals_of_libc_by_inheritance(void)
{
    for (const int *backend = backends(); *backend >= 0 && *backend != KT_BACKEND_PTHREAD; backend++) {
        uint64_t old = set_mask(BIT(32) | BIT(33) | BIT(SIGUSR1));
        uint64_t there = mask_of_started(spec_for(*backend));
        set_mask(old);
        CHECK(there == BIT(SIGUSR1));
    }
}

static void store_mask(uint64_t *mask)
{
    *mask = mask_here(NULL);
}

static void a_bare_thread_blocks_all_signals(void)
{
    uint64_t mask = 0;
    kt_spec spec = spec_for(KT_BACKEND_BARE_WITHOUT_LIBC);
    if (kt_features() & KT_FEATURE_SANITIZED || !has_robust_lists()) { /* qemu-user has masks of its own */
        return;
    }
    finish(start(&spec, FUNCTION(store_mask), &mask));
    CHECK(mask == ~(BIT(SIGKILL) | BIT(SIGSTOP)) || mask == ~(uint64_t)0);
}

/* ---- Reuse ---- */

static bool threads_are_reused(void)
{
    kt_libc libc;
    kt_libc_probe(&libc);
    return libc.destructors; /* not with a sanitizer */
}

static uint64_t run_reusable(int backend, kt_function function, void *argument, bool reused)
{
    kt_spec spec = spec_for(backend);
    kt_outcome outcome;
    spec.options = KT_OPTION_REUSE;
    kt_thread *thread = start(&spec, function, argument);
    while (kt_thread_join(thread, -1, &outcome) == -EINTR) {
    }
    kt_thread_free(thread);
    CHECK(outcome.reused == (reused && threads_are_reused()));
    return outcome.result;
}

static void each_run_of_a_reused_thread_has_the_mask_of_its_starter(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        for (int i = 0; i < MASKS; i++) {
            uint64_t old = set_mask(masks[i]);
            uint64_t here = mask_here(NULL);
            uint64_t there = run_reusable(*backend, FUNCTION(mask_here), NULL, i > 0);
            set_mask(old);
            CHECK(there == here);
        }
        kt_trim();
    }
}

static uint64_t mask_before_setting(void *mask)
{
    return set_mask((uint64_t)(uintptr_t)mask);
}

static void a_run_does_not_see_what_the_last_run_did_to_its_mask(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        void *other = (void *)(uintptr_t)(BIT(SIGUSR1) | BIT(SIGFPE));
        run_reusable(*backend, FUNCTION(mask_before_setting), other, false);
        CHECK(run_reusable(*backend, FUNCTION(mask_before_setting), other, true) == mask_here(NULL));
        kt_trim();
    }
}

static atomic_int handled;
static _Atomic(int32_t) handled_by;

static void note(int number)
{
    (void)number;
    handled_by = (int32_t)syscall(SYS_gettid);
    atomic_fetch_add(&handled, 1);
}

static void handle(int number, void (*handler)(int))
{
    struct sigaction action = {.sa_handler = handler};
    CHECK(sigaction(number, &action, NULL) == 0);
}

static uint64_t own_tid(void *unused)
{
    (void)unused;
    return (uint64_t)syscall(SYS_gettid);
}

static void a_parked_thread_takes_no_signals(void)
{
    if (is_under_valgrind() || !has_robust_lists()) {
        return; /* /proc tells the masks of Valgrind and qemu-user, not those of the program */
    }
    handle(SIGUSR1, note);
    for (const int *backend = backends(); *backend >= 0 && threads_are_reused(); backend++) {
        char path[64], line[128];
        uint64_t mask = 0, tid = run_reusable(*backend, FUNCTION(own_tid), NULL, false);
        snprintf(path, sizeof path, "/proc/self/task/%d/status", (int)tid);
        FILE *file = fopen(path, "re");
        CHECK(file);
        while (fgets(line, sizeof line, file)) {
            sscanf(line, "SigBlk: %lx", &mask);
        }
        fclose(file);
        uint64_t kept = BIT(SIGTERM) | BIT(SIGINT) | BIT(SIGUSR1) | BIT(SIGALRM) | BIT(SIGPIPE) | BIT(64);
        CHECK((mask & kept) == kept && !(mask & (BIT(SIGSEGV) | BIT(SIGABRT) | BIT(32) | BIT(33))));
        kt_trim();
    }
}

static int leave_a_signal_pending(void *unused)
{
    (void)unused;
    set_mask(BIT(SIGUSR1));
    return pthread_kill(pthread_self(), SIGUSR1);
}

static void a_signal_that_a_run_leaves_pending_is_gone_with_it(void)
{
    handle(SIGUSR1, note);
    for (const int *backend = backends(); *backend >= 0; backend++) {
        handled = 0;
        CHECK(run_reusable(*backend, FUNCTION(leave_a_signal_pending), NULL, false) == 0);
        CHECK(run_reusable(*backend, FUNCTION(mask_here), NULL, false) == mask_here(NULL));
        CHECK(handled == 0);
        kt_trim();
    }
}

/* ---- Delivery ---- */

static uint64_t wait_for_handler(atomic_int *running)
{
    atomic_store(running, 1);
    while (atomic_load(&handled) == 0) {
        sched_yield();
    }
    return (uint64_t)handled_by;
}

static void a_signal_to_a_thread_is_handled_there(void)
{
    handle(SIGUSR1, note);
    for (const int *backend = backends(); *backend >= 0; backend++) {
        atomic_int running = 0;
        kt_spec spec = spec_for(*backend);
        handled = 0;
        kt_thread *thread = start(&spec, FUNCTION(wait_for_handler), &running);
        while (!atomic_load(&running)) {
            sched_yield();
        }
        CHECK(pthread_kill((pthread_t)kt_thread_ident(thread), SIGUSR1) == 0);
        int32_t tid = kt_thread_tid(thread);
        CHECK((int32_t)finish(thread) == tid);
    }
}

static int status_of_a_child_that_kills_itself(void *unused)
{
    (void)unused;
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        raise(SIGTERM);
        _exit(0);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    return status;
}

static void a_child_that_a_thread_has_forked_ends_by_sigterm(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_spec spec = spec_for(*backend);
        int status = (int)finish(start(&spec, FUNCTION(status_of_a_child_that_kills_itself), NULL));
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    }
}

static void a_worker_has_the_mask_of_the_thread_that_started_it(void)
{
    for (const int *backend = backends(); *backend >= 0; backend++) {
        uint64_t old = set_mask(BIT(SIGUSR2));
        kt_pool *pool = new_pool(1, *backend, 4);
        kt_task task = {.call = {.function = FUNCTION(mask_here), .kind = KT_RESULT_INTEGER}}, *list = &task;
        CHECK(kt_pool_submit(pool, &list, 1, -1) == 1);
        set_mask(old);
        while (kt_task_wait(&task, 0, -1) == -EINTR) {
        }
        CHECK(task.call.result == BIT(SIGUSR2));
        end(pool);
    }
}

/* ---- Interruptions ---- */

static atomic_int storming;

/* Sends signals to every other thread of the process, again and again. */
static void *storm(void *unused)
{
    uint64_t self = own_tid(unused);
    set_mask(~(uint64_t)0);
    while (atomic_load(&storming)) {
        DIR *folder = opendir("/proc/self/task");
        CHECK(folder);
        for (struct dirent *entry; (entry = readdir(folder));) {
            uint64_t tid = strtoul(entry->d_name, NULL, 10);
            if (tid && tid != self) {
                syscall(SYS_tgkill, getpid(), (pid_t)tid, SIGUSR1);
            }
        }
        closedir(folder);
    }
    return NULL;
}

static void do_nothing(void)
{
}

static _Atomic(uint64_t) sum;

static void add_up(int64_t begin, int64_t end)
{
    for (int64_t i = begin; i < end; i++) {
        atomic_fetch_add_explicit(&sum, (uint64_t)i, memory_order_relaxed);
    }
}

static void use_threads(int backend, int round)
{
    uint64_t cpus[16] = {0};
    CHECK(syscall(SYS_sched_getaffinity, 0, sizeof cpus, cpus) > 0);
    kt_spec spec = spec_for(backend);
    spec.options = round % 2 ? KT_OPTION_REUSE : KT_OPTION_ALTSTACK;
    spec.cpus = cpus;
    spec.cpus_size = round % 3 ? 0 : sizeof cpus;
    kt_thread *threads[4];
    for (int i = 0; i < 4; i++) {
        threads[i] = start(&spec, FUNCTION(own_tid), NULL);
    }
    for (int i = 0; i < 4; i++) {
        int32_t tid = kt_thread_tid(threads[i]);
        CHECK((int32_t)finish(threads[i]) == tid);
    }
}

static void use_tasks(kt_pool *pool)
{
    kt_task tasks[64], *list[64];
    size_t queued = 0;
    for (uint64_t i = 0; i < 64; i++) {
        tasks[i] =
            (kt_task){.call = {.function = FUNCTION(add), .integers = {i, 1}, .kind = KT_RESULT_INTEGER}};
        list[i] = &tasks[i];
    }
    while (queued < 64) {
        int64_t rc = kt_pool_submit(pool, list + queued, 64 - queued, -1);
        CHECK(rc > 0 || rc == -EINTR);
        queued += rc > 0 ? (size_t)rc : 0;
    }
    for (uint64_t i = 0; i < 64; i++) {
        int rc;
        while ((rc = kt_task_wait(&tasks[i], 0, -1)) == -EINTR) {
        }
        CHECK(rc == 0 && kt_task_state_of(&tasks[i]) == KT_TASK_DONE && tasks[i].call.result == i + 1);
    }
}

static void use_loops(kt_pool *pool)
{
    kt_loop loop = loop_over(FUNCTION(add_up), 10000), another = loop_over(FUNCTION(do_nothing), 100);
    sum = 0;
    CHECK(run(pool, &loop) == 0 && sum == 9999 * 10000 / 2);
    CHECK(kt_pool_run_to_end(pool, &another, -1, NULL, NULL) == 0);
    int rc;
    while ((rc = kt_pool_resize(pool, 3, 2, -1)) == -EINTR) {
    }
    CHECK(rc == 0);
}

static void signals_on_every_thread_neither_end_nor_stop_anything(void)
{
    pthread_t sender;
    handle(SIGUSR1, note);
    handled = 0;
    atomic_store(&storming, 1);
    CHECK(pthread_create(&sender, NULL, storm, NULL) == 0);
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_pool *pool = new_pool(3, *backend, 8);
        for (int round = 0; round < 60; round++) {
            use_threads(*backend, round);
            use_tasks(pool);
            use_loops(pool);
        }
        end(pool);
    }
    atomic_store(&storming, 0);
    CHECK(pthread_join(sender, NULL) == 0 && handled > 0);
}

int main(void)
{
    RUN(a_thread_has_the_mask_of_its_starter);
    RUN(a_thread_has_the_mask_also_with_settings_and_an_alternate_stack);
    RUN(a_thread_that_a_thread_starts_has_the_mask_of_that_one);
    RUN(no_thread_can_block_the_two_signals_of_libc_by_inheritance);
    RUN(a_bare_thread_blocks_all_signals);
    RUN(each_run_of_a_reused_thread_has_the_mask_of_its_starter);
    RUN(a_run_does_not_see_what_the_last_run_did_to_its_mask);
    RUN(a_parked_thread_takes_no_signals);
    RUN(a_signal_that_a_run_leaves_pending_is_gone_with_it);
    RUN(a_signal_to_a_thread_is_handled_there);
    RUN(a_child_that_a_thread_has_forked_ends_by_sigterm);
    RUN(a_worker_has_the_mask_of_the_thread_that_started_it);
    RUN(signals_on_every_thread_neither_end_nor_stop_anything);
}
