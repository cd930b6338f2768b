#include "base/typed_call.h"

#include <errno.h>
#include <string.h>

/* Integers and floats are passed in separate register files, on x86-64 (System V psABI) and on aarch64
 * (AAPCS64) alike. A function does not read registers for which it has no parameters. So one call that fills
 * six integer and eight floating-point registers serves every signature with at most that many parameters.
 * Only the place of the result makes two kinds of call. */
#define PARAMETERS                                                                                           \
    uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, double, double, double, double, double,      \
        double, double, double

typedef uint64_t (*integer_function)(PARAMETERS);
typedef double (*float_function)(PARAMETERS);

void kt__call_without_libc(kt_call *call)
{
    const uint64_t *i = call->integers;
    double f[KT_FLOAT_ARGUMENTS];
    memcpy(f, call->floats, sizeof f); /* copies the bits: a float is the low half of its word */
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
