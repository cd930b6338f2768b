/* A thread that runs before its starter continues: what it knows of itself at that time. */
#define _GNU_SOURCE
#include "test.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

static kt_thread *handle;
static atomic_bool holds_starters, has_looked;
static uintptr_t ident;
static int joined;

/* libc's function, which may be delayed before it returns to the starter. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    int rc = real(thread, attributes, run, argument);
    while (rc == 0 && atomic_load(&holds_starters) && !atomic_load(&has_looked)) {
        sched_yield();
    }
    return rc;
}

static void look(void)
{
    ident = kt_thread_ident(handle);
    joined = kt_thread_wait(handle, 0, NULL);
    atomic_store(&has_looked, true);
}

static void a_thread_knows_itself_before_its_starter_goes_on(void)
{
    kt_spec spec = spec_for(KT_BACKEND_PTHREAD);
    kt_call call = call_of(FUNCTION(look), NULL);
    finish(start(&spec, FUNCTION(getpid), NULL)); /* not delayed: the probe of libc */
    atomic_store(&holds_starters, true);
    CHECK(kt_thread_start(&handle, &spec, &call) == 0);
    CHECK(ident != 0 && ident == kt_thread_ident(handle));
    CHECK(joined == -EDEADLK);
    finish(handle);
}

int main(void)
{
    RUN(a_thread_knows_itself_before_its_starter_goes_on);
    return 0;
}
