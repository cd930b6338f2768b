/* The steps of a child that change its user, groups and capabilities. */
#define _GNU_SOURCE
#include "process/process.h"

#include <linux/capability.h>
#include <sys/prctl.h>

enum { CAPABILITIES = 64 };

static long read_capabilities(struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return kt__syscall(SYS_capget, &header, data);
}

static long prctl2(int what, unsigned long a, unsigned long b)
{
    return kt__syscall(SYS_prctl, what, a, b, 0, 0);
}

static bool in(uint64_t mask, unsigned capability)
{
    return mask >> capability & 1;
}

/* Drops capabilities from the bounding set: a set-user-id program, or any program that user 0 executes, could
 * get them back otherwise. This needs CAP_SETPCAP. A thread without it can get capabilities only by executing
 * such a program, which KT_STEP_NO_NEW_PRIVS prevents. */
static long drop_bounding_set(uint64_t mask)
{
    for (unsigned i = 0; i < CAPABILITIES; i++) {
        long rc = in(mask, i) ? 0 : prctl2(PR_CAPBSET_DROP, i, 0);
        if (rc < 0) {
            return rc == -EINVAL ? 0 : rc; /* this kernel has no capability of this number or above */
        }
    }
    return 0;
}

/* Sets the ambient capabilities: a program that a user other than 0 executes keeps these. */
static long set_ambient_set(uint64_t mask)
{
    long rc = prctl2(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0);
    for (unsigned i = 0; i < CAPABILITIES && rc == 0; i++) {
        if (in(mask, i)) {
            rc = prctl2(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i);
        }
    }
    return rc;
}

static int keep_capabilities(uint64_t mask)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    long rc = read_capabilities(data);
    if (rc == 0 && data[0].effective >> CAP_SETPCAP & 1) {
        rc = drop_bounding_set(mask);
    }
    if (rc < 0) {
        return (int)rc;
    }
    for (int i = 0; i < 2; i++) {
        data[i].permitted &= (uint32_t)(mask >> 32 * i);
        data[i].effective = data[i].inheritable = data[i].permitted;
    }
    rc = kt__syscall(SYS_capset, &header, data);
    return (int)(rc < 0 ? rc : set_ambient_set(data[0].permitted | (uint64_t)data[1].permitted << 32));
}

int kt__step_identity(const kt_step *step)
{
    long id = (long)step->number;
    switch (step->kind) {
    case KT_STEP_GROUPS:
        return (int)kt__syscall(SYS_setgroups, step->count, step->data);
    case KT_STEP_GID:
        return (int)kt__syscall(SYS_setresgid, id, id, id);
    case KT_STEP_UID: {
        long rc = prctl2(PR_SET_KEEPCAPS, 1, 0);
        return (int)(rc < 0 ? rc : kt__syscall(SYS_setresuid, id, id, id));
    }
    case KT_STEP_CAPABILITIES:
        return keep_capabilities(step->flags);
    default:
        return -EINVAL;
    }
}
