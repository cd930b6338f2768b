/* Typed calls: arguments in registers and beyond them. */
#define _GNU_SOURCE
#include "test.h"

#include <stdbool.h>
#include <string.h>

static uint64_t word_of(double value)
{
    uint64_t word;
    memcpy(&word, &value, sizeof word);
    return word;
}

static uint64_t word_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return UINT64_C(0xdeadbeef) << 32 | bits; /* a function does not read the upper half */
}

static int64_t weigh_integers(int a, int64_t b, uint8_t c, int16_t d, int64_t e, int64_t f, int g, int64_t h,
                              int8_t i, uint16_t j, unsigned k, int64_t l)
{
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * (int64_t)g + 8 * h + 9 * i + 10 * j +
           11 * (int64_t)k + 12 * l;
}

static void twelve_integers(void)
{
    static const uint64_t more[] = {(uint32_t)-7, (uint64_t)-8, (uint32_t)-9, 10, UINT32_MAX, 12};
    kt_call call = {.function = FUNCTION(weigh_integers),
                    .integers = {1, 2, 3, 4, 5, 6},
                    .kind = KT_RESULT_INTEGER,
                    .more = more,
                    .more_count = 6};
    kt_call_run(&call);
    CHECK((int64_t)call.result ==
          1 + 4 + 9 + 16 + 25 + 36 - 49 - 64 - 81 + 100 + INT64_C(11) * UINT32_MAX + 144);
}

static double weigh_floats(double a, double b, double c, double d, double e, double f, double g, double h,
                           float i, double j)
{
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * (double)i + 10 * j;
}

static void ten_floats(void)
{
    uint64_t more[] = {word_of_float(-9.5F), word_of(10)};
    kt_call call = {.function = FUNCTION(weigh_floats),
                    .kind = KT_RESULT_FLOAT,
                    .more = more,
                    .more_count = 2,
                    .more_floats = 3};
    for (int i = 0; i < KT_FLOAT_ARGUMENTS; i++) {
        call.floats[i] = word_of(i + 1);
    }
    kt_call_run(&call);
    CHECK(call.result == word_of(1 + 4 + 9 + 16 + 25 + 36 + 49 + 64 - 85.5 + 100));
}

/* Six integers and eight floats, and then floats and integers by turns. */
static double weigh_all(int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f, double g, double h,
                        double i, double j, double k, double l, double m, double n, float o, int8_t p,
                        double q, int64_t r, float s, uint8_t t, double u, int64_t v, float w, int x,
                        double y, int64_t z, float A, int64_t B, double C, int16_t D, float E, int64_t F)
{
    return (double)(a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 16 * p + 18 * r + 20 * t + 22 * v + 24 * x +
                    26 * z + 28 * B + 30 * D + 32 * F) +
           7 * g + 8 * h + 9 * i + 10 * j + 11 * k + 12 * l + 13 * m + 14 * n + 15 * (double)o + 17 * q +
           19 * (double)s + 21 * u + 23 * (double)w + 25 * y + 27 * (double)A + 29 * C + 31 * (double)E;
}

static void thirty_two_arguments_of_both_kinds(void)
{
    uint64_t more[18];
    double expected = 0;
    kt_call call = {.function = FUNCTION(weigh_all), .kind = KT_RESULT_FLOAT, .more = more, .more_count = 18};
    for (int i = 0; i < 6; i++) {
        call.integers[i] = (uint64_t)(i + 1);
    }
    for (int i = 0; i < 8; i++) {
        call.floats[i] = word_of(i + 7);
    }
    for (int i = 0; i < 18; i++) {
        bool is_float = i % 2 == 0;
        more[i] = !is_float    ? (uint64_t)(i + 15)
                  : i % 4 == 0 ? word_of_float((float)(i + 15))
                               : word_of(i + 15);
        call.more_floats |= (uint32_t)is_float << i;
    }
    for (int i = 1; i <= 32; i++) {
        expected += i * i;
    }
    kt_call_run(&call);
    CHECK(call.result == word_of(expected));
}

static int64_t last_of_32(int64_t a, int64_t b, int64_t c, int64_t d, int64_t e, int64_t f, int64_t g,
                          int64_t h, int64_t i, int64_t j, int64_t k, int64_t l, int64_t m, int64_t n,
                          int64_t o, int64_t p, int64_t q, int64_t r, int64_t s, int64_t t, int64_t u,
                          int64_t v, int64_t w, int64_t x, int64_t y, int64_t z, int64_t A, int64_t B,
                          int64_t C, int64_t D, int64_t E, int64_t F)
{
    return (a ^ b ^ c ^ d ^ e ^ f ^ g ^ h ^ i ^ j ^ k ^ l ^ m ^ n ^ o ^ p ^ q ^ r ^ s ^ t ^ u ^ v ^ w ^ x ^
            y ^ z ^ A ^ B ^ C ^ D ^ E) == 0
               ? F
               : -1;
}

static void thirty_two_integers(void)
{
    uint64_t more[KT_MORE_ARGUMENTS] = {0};
    kt_call call = {.function = FUNCTION(last_of_32),
                    .kind = KT_RESULT_INTEGER,
                    .more = more,
                    .more_count = KT_MORE_ARGUMENTS};
    more[KT_MORE_ARGUMENTS - 1] = 77;
    kt_call_run(&call);
    CHECK(call.result == 77);
}

static void a_thread_passes_them_too(void)
{
    static const uint64_t more[] = {7, 8, 9, 10, 11, 12};
    kt_call call = {.function = FUNCTION(weigh_integers),
                    .integers = {1, 2, 3, 4, 5, 6},
                    .kind = KT_RESULT_INTEGER,
                    .more = more,
                    .more_count = 6};
    kt_spec spec = {.flags = SHARE_ALL};
    for (const int *backend = backends(); *backend >= 0; backend++) {
        kt_thread *thread;
        kt_outcome outcome;
        spec.backend = *backend;
        CHECK(kt_thread_start(&thread, &spec, &call) == 0);
        CHECK(kt_thread_join(thread, -1, &outcome) == 0);
        CHECK(outcome.result == 650);
        kt_thread_free(thread);
    }
}

static double one_integer_and_nine_floats(int8_t n, float a, float b, float c, float d, float e, float f,
                                          float g, float h, float i)
{
    return n * (double)(a + b + c + d + e + f + g + h - i);
}

static void a_map_calls_a_function_with_more_parameters_than_registers(void)
{
    enum { ITEMS = 200 };
    int8_t factors[ITEMS];
    float terms[ITEMS];
    double results[ITEMS];
    const uint64_t shape = ITEMS;
    int64_t strides[11] = {1};
    kt_map map = {.function = FUNCTION(one_integer_and_nine_floats),
                  .parameters = 10,
                  .dimensions = 1,
                  .shape = &shape,
                  .strides = strides,
                  .operands = {{factors, KT_ITEM_INT8}}};
    for (int i = 1; i <= 9; i++) {
        map.operands[i] = (kt_map_operand){terms, KT_ITEM_FLOAT};
        strides[i] = sizeof *terms;
    }
    map.operands[10] = (kt_map_operand){results, KT_ITEM_DOUBLE};
    strides[10] = sizeof *results;
    for (int i = 0; i < ITEMS; i++) {
        factors[i] = (int8_t)(i % 7 - 3);
        terms[i] = (float)i;
        results[i] = -1;
    }
    kt_map_chunk(3, ITEMS - 1, &map);
    for (int i = 0; i < ITEMS; i++) {
        CHECK(results[i] == (i < 3 || i == ITEMS - 1 ? -1 : (i % 7 - 3) * 7.0 * i));
    }
}

int main(void)
{
    RUN(twelve_integers);
    RUN(ten_floats);
    RUN(thirty_two_arguments_of_both_kinds);
    RUN(thirty_two_integers);
    RUN(a_thread_passes_them_too);
    RUN(a_map_calls_a_function_with_more_parameters_than_registers);
    return 0;
}
