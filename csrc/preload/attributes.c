/* The attributes of pthread_create(3), translated for the engine. */
#define _GNU_SOURCE
#include "preload/preload.h"

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

/* The attributes have the address of the stack's end, which is 0 without one, and libc subtracts the size. */
static void take_stack(const pthread_attr_t *attributes, kt_spec *spec)
{
    void *low = NULL;
    size_t size = 0;
    pthread_attr_getstack(attributes, &low, &size);
    if ((uintptr_t)low + size != 0) {
        spec->stack = low;
        spec->stack_size = size;
    } else {
        pthread_attr_getstacksize(attributes, &spec->stack_size);
        pthread_attr_getguardsize(attributes, &spec->guard_size);
    }
}

/* libc says that all CPUs are set when none was. Returns false for a mask that is larger than `cpus`. */
static bool take_cpus(const pthread_attr_t *attributes, struct kt__wanted *wanted)
{
    uint64_t every = UINT64_MAX;
    if (pthread_attr_getaffinity_np(attributes, sizeof wanted->cpus, (cpu_set_t *)(void *)wanted->cpus) !=
        0) {
        return false;
    }
    for (size_t i = 0; i < KT_PRELOAD_CPUS / 64; i++) {
        every &= wanted->cpus[i];
    }
    if (every != UINT64_MAX) {
        wanted->spec.cpus = wanted->cpus;
        wanted->spec.cpus_size = sizeof wanted->cpus;
    }
    return true;
}

static void take_schedule(const pthread_attr_t *attributes, kt_spec *spec)
{
    int inherit = PTHREAD_INHERIT_SCHED;
    struct sched_param parameters = {0};
    pthread_attr_getinheritsched(attributes, &inherit);
    if (inherit == PTHREAD_EXPLICIT_SCHED) {
        pthread_attr_getschedpolicy(attributes, &spec->policy);
        pthread_attr_getschedparam(attributes, &parameters);
        spec->priority = parameters.sched_priority;
        spec->options |= KT_OPTION_SCHEDULE;
    }
}

static void take_signals(const pthread_attr_t *attributes, struct kt__wanted *wanted)
{
    sigset_t set;
    if (pthread_attr_getsigmask_np(attributes, &set) == 0) {
        memcpy(&wanted->signals, &set, sizeof wanted->signals);
        wanted->spec.signals = &wanted->signals;
    }
}

static void take_detached(const pthread_attr_t *attributes, kt_spec *spec)
{
    int state = PTHREAD_CREATE_JOINABLE;
    pthread_attr_getdetachstate(attributes, &state);
    spec->options |= state == PTHREAD_CREATE_DETACHED ? KT_OPTION_DETACHED : 0;
}

static enum kt_handed translate(const pthread_attr_t *attributes, struct kt__wanted *wanted)
{
    take_stack(attributes, &wanted->spec);
    take_detached(attributes, &wanted->spec);
    take_schedule(attributes, &wanted->spec);
    take_signals(attributes, wanted);
    if (!take_cpus(attributes, wanted)) {
        return KT_HANDED_CPUS;
    }
    return wanted->spec.stack && wanted->spec.options & KT_OPTION_DETACHED ? KT_HANDED_DETACHED_STACK
                                                                           : KT_HANDED_NOT;
}

enum kt_handed kt__wanted_by(const pthread_attr_t *attributes, struct kt__wanted *wanted)
{
    const struct kt__preload *preload = kt__preload();
    pthread_attr_t defaults;
    wanted->spec = (kt_spec){.flags = CLONE_FS | CLONE_FILES | CLONE_SYSVSEM,
                             .backend = preload->backend,
                             .options = preload->options};
    if (attributes) {
        return translate(attributes, wanted);
    }
    if (pthread_getattr_default_np(&defaults) != 0) {
        return KT_HANDED_NOT; /* no memory: the engine will say so, or manage */
    }
    enum kt_handed handed = translate(&defaults, wanted);
    pthread_attr_destroy(&defaults);
    return handed;
}
