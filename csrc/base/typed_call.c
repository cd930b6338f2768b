#include "base/typed_call.h"

#include <errno.h>
#include <string.h>

/* Integers and floats travel in register files of their own, on x86-64 (System V psABI) and on
 * aarch64 (AAPCS64) alike, and a function does not look at registers that it has no parameters for.
 * So one call that fills six integer and eight floating registers serves every signature of that
 * many, and only the place of the result makes two kinds. */
#define PARAMETERS                                                                                           \
    uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, double, double, double, double, double,      \
        double, double, double

typedef uint64_t (*integer_function)(PARAMETERS);
typedef double (*float_function)(PARAMETERS);

void kt__call_without_libc(kt_call *call)
{
    const uint64_t *i = call->integers;
    double f[KT_FLOAT_ARGUMENTS];
    memcpy(f, call->floats, sizeof f); /* bits, not values: a float is the low half of its word */
    if (call->kind == KT_RESULT_FLOAT) {
        double result = ((float_function)call->function)(i[0], i[1], i[2], i[3], i[4], i[5], f[0], f[1], f[2],
                                                         f[3], f[4], f[5], f[6], f[7]);
        memcpy(&call->result, &result, sizeof result);
    } else {
        call->result = ((integer_function)call->function)(i[0], i[1], i[2], i[3], i[4], i[5], f[0], f[1],
                                                          f[2], f[3], f[4], f[5], f[6], f[7]);
    }
}

void kt_call_run(kt_call *call)
{
    errno = 0;
    kt__call_without_libc(call);
    call->error = errno;
}
