#include "base/typed_call.h"

#include "cpu.h"
#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* Integers and floats are passed in separate register files, on x86-64 (System V psABI) and on aarch64
 * (AAPCS64) alike. A function does not read registers for which it has no parameters. So one call that fills
 * six integer and eight floating-point registers serves every signature with at most that many parameters.
 * Only the place of the result makes two kinds of call. */
#define PARAMETERS                                                                                           \
    uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, double, double, double, double, double,      \
        double, double, double

#define ARGUMENTS i[0], i[1], i[2], i[3], i[4], i[5], f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7]

typedef uint64_t (*integer_function)(PARAMETERS);
typedef double (*float_function)(PARAMETERS);

/* When the registers are full, each further argument takes a word of 8 bytes on the stack on both
 * architectures, in the order of the parameters, whatever its type; on aarch64 two integers come first that
 * go into registers. A function does not read words beyond its parameters, and its caller removes all of
 * them. So one call that passes as many words as there may be serves all signatures. */
enum { MORE_WORDS = 28 };
#define MORE_PARAMETERS                                                                                      \
    PARAMETERS, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,    \
        uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,  \
        uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t
#define MORE_ARGUMENTS                                                                                       \
    ARGUMENTS, w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11], w[12], w[13],       \
        w[14], w[15], w[16], w[17], w[18], w[19], w[20], w[21], w[22], w[23], w[24], w[25], w[26], w[27]
_Static_assert(MORE_WORDS >= KT_MORE_ARGUMENTS + KT_MORE_INTEGER_REGISTERS, "room for all words");

typedef uint64_t (*long_integer_function)(MORE_PARAMETERS);
typedef double (*long_float_function)(MORE_PARAMETERS);

static void place(const kt_call *call, uint64_t words[MORE_WORDS])
{
    int in_registers = 0, on_stack = KT_MORE_INTEGER_REGISTERS;
    for (uint32_t n = 0; n < call->more_count; n++) {
        bool is_float = call->more_floats >> n & 1;
        bool fits = !is_float && in_registers < KT_MORE_INTEGER_REGISTERS;
        words[fits ? in_registers++ : on_stack++] = call->more[n];
    }
}

static void call_with_more(kt_call *call, const uint64_t *i, const double *f)
{
    uint64_t w[MORE_WORDS] = {0};
    place(call, w);
    if (call->kind == KT_RESULT_FLOAT) {
        double result = ((long_float_function)call->function)(MORE_ARGUMENTS);
        memcpy(&call->result, &result, sizeof result);
    } else {
        call->result = ((long_integer_function)call->function)(MORE_ARGUMENTS);
    }
}

void kt__call_without_libc(kt_call *call)
{
    const uint64_t *i = call->integers;
    double f[KT_FLOAT_ARGUMENTS];
    memcpy(f, call->floats, sizeof f); /* copies the bits: a float is the low half of its word */
    if (call->more_count != 0) {
        call_with_more(call, i, f);
    } else if (call->kind == KT_RESULT_FLOAT) {
        double result = ((float_function)call->function)(ARGUMENTS);
        memcpy(&call->result, &result, sizeof result);
    } else {
        call->result = ((integer_function)call->function)(ARGUMENTS);
    }
}

void kt_call_run(kt_call *call)
{
    errno = 0;
    kt__call_without_libc(call);
    call->error = errno;
}
