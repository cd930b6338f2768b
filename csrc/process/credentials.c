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
 * get them back otherwise. This needs CAP_SETPCAP, where there are any to drop. */
static long drop_bounding_set(uint64_t mask)
{
    for (unsigned i = 0; i < CAPABILITIES; i++) {
        long has = prctl2(PR_CAPBSET_READ, i, 0);
        if (has < 0) {
            return has == -EINVAL ? 0 : has; /* this kernel has no capability of this number or above */
        }
        long rc = in(mask, i) || !has ? 0 : prctl2(PR_CAPBSET_DROP, i, 0);
        if (rc < 0) {
            return rc;
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

/* Leaves only `mask` in the inheritable set; in the permitted and effective sets, too, when `all_sets`, and
 * then the inheritable set becomes equal to them. */
static long write_capabilities(uint64_t mask, bool all_sets, uint64_t *permitted)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[2];
    long rc = read_capabilities(data);
    for (int i = 0; i < 2 && rc == 0; i++) {
        uint32_t half = (uint32_t)(mask >> 32 * i);
        if (all_sets) {
            data[i].permitted &= half;
            data[i].effective = data[i].inheritable = data[i].permitted;
        } else {
            data[i].inheritable &= half;
        }
    }
    *permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    return rc < 0 ? rc : kt__syscall(SYS_capset, &header, data);
}

static int bound_capabilities(uint64_t mask)
{
    uint64_t permitted;
    long rc = drop_bounding_set(mask);
    rc = rc < 0 ? rc : write_capabilities(mask, false, &permitted);
    return (int)(rc < 0 ? rc : prctl2(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0));
}

static int keep_capabilities(uint64_t mask)
{
    uint64_t permitted;
    long rc = write_capabilities(mask, true, &permitted);
    return (int)(rc < 0 ? rc : set_ambient_set(permitted));
}

int kt_keep_capabilities(void)
{
    return keep_capabilities(UINT64_MAX);
}

/* The kernel would read the lower 32 bits of a larger number, and take the highest as "no change". */
static bool is_id(int64_t number)
{
    return number >= 0 && number < UINT32_MAX;
}

static bool are_ids(const uint32_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!is_id(ids[i])) {
            return false;
        }
    }
    return true;
}

int kt__step_identity(const kt_step *step)
{
    long id = (long)step->number;
    bool changes_id = step->kind == KT_STEP_UID || step->kind == KT_STEP_GID;
    if (changes_id && !is_id(step->number)) {
        return -EINVAL;
    }
    switch (step->kind) {
    case KT_STEP_GROUPS:
        return are_ids(step->data, step->count) ? (int)kt__syscall(SYS_setgroups, step->count, step->data)
                                                : -EINVAL;
    case KT_STEP_GID:
        return (int)kt__syscall(SYS_setresgid, id, id, id);
    case KT_STEP_UID: {
        long rc = prctl2(PR_SET_KEEPCAPS, 1, 0);
        return (int)(rc < 0 ? rc : kt__syscall(SYS_setresuid, id, id, id));
    }
    case KT_STEP_BOUND_CAPABILITIES:
        return bound_capabilities(step->flags);
    case KT_STEP_CAPABILITIES:
        return keep_capabilities(step->flags);
    default:
        return -EINVAL;
    }
}
