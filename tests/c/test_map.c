/* Maps, alone and as the body of a loop. */
#define _GNU_SOURCE
#include "test.h"

#include <errno.h>
#include <string.h>

/* Memory for an operand, in which items may lie at any address. */
enum { MEMORY = 1 << 16 };
static char memory[3][MEMORY];

static double subtract(double a, double b)
{
    return a - b;
}

static void put(int operand, int64_t offset, double value)
{
    memcpy(&memory[operand][offset], &value, sizeof value);
}

static double get(int operand, int64_t offset)
{
    double value;
    memcpy(&value, &memory[operand][offset], sizeof value);
    return value;
}

/* Three dimensions. One parameter has negative strides, the other is repeated along the second dimension, and
 * all are misaligned. */
static const uint64_t shape[] = {5, 7, 150};
static const int64_t strides[] = {8, 6000, -40, /**/ 1200, 0, 8, /**/ 8400, 1200, 8};
enum { ITEMS = 5 * 7 * 150, LAST = 149 * 40 };

static const kt_map subtraction = {
    .function = FUNCTION(subtract),
    .parameters = 2,
    .dimensions = 3,
    .shape = shape,
    .strides = strides,
    .operands = {{memory[0] + LAST + 1, KT_ITEM_DOUBLE},
                 {memory[1] + 1, KT_ITEM_DOUBLE},
                 {memory[2] + 1, KT_ITEM_DOUBLE}},
};

static void fill(void)
{
    memset(memory, 0, sizeof memory);
    for (int64_t i = 0; i + 9 <= MEMORY; i += 8) {
        put(0, i + 1, (double)(i * 3 % 1001));
        put(1, i + 1, (double)(i * 7 % 997));
    }
}

/* Checks that the items from `begin` up to `end` are stored, and all others are 0. */
static void expect_differences(int64_t begin, int64_t end)
{
    for (int64_t i = 0; i < ITEMS; i++) {
        int64_t at[] = {i / (7 * 150), i / 150 % 7, i % 150};
        double a = get(0, LAST + 1 + 8 * at[0] + 6000 * at[1] - 40 * at[2]);
        double b = get(1, 1 + 1200 * at[0] + 8 * at[2]);
        CHECK(get(2, 1 + 8 * i) == (begin <= i && i < end ? a - b : 0));
    }
}

static void a_chunk_begins_and_ends_anywhere(void)
{
    static const uint64_t places[] = {0,   1,    63,   64,   149,  150,       151,
                                      300, 1049, 1050, 1051, 3000, ITEMS - 1, ITEMS};
    enum { PLACES = sizeof places / sizeof places[0] };
    for (int begin = 0; begin < PLACES; begin++) {
        for (int end = begin; end < PLACES; end++) {
            fill();
            kt_map_chunk(places[begin], places[end], &subtraction);
            expect_differences((int64_t)places[begin], (int64_t)places[end]);
        }
    }
}

static void a_loop_runs_it_on_all_workers(void)
{
    kt_spec thread = spec_for(backends()[0]);
    kt_pool_spec spec = {.workers = 3, .cpus = 2, .spin_ns = 50000, .queue_size = 16, .thread = &thread};
    kt_pool *pool;
    CHECK(kt_pool_new(&pool, &spec) == 0);
    for (uint64_t grain = 1; grain < 2000; grain = 3 * grain + 1) {
        kt_loop loop = {
            .call = call_of(FUNCTION(kt_map_chunk), NULL), .end = ITEMS, .step = 1, .count = ITEMS};
        loop.call.integers[2] = (uintptr_t)&subtraction;
        loop.call.kind = KT_RESULT_NONE;
        loop.grain = grain;
        fill();
        int rc;
        while ((rc = kt_pool_run(pool, &loop, -1)) == -ETIMEDOUT) {
        }
        CHECK(rc == 0);
        expect_differences(0, ITEMS);
    }
    while (kt_pool_quiesce(pool, -1) == -EINTR) {
    }
    kt_pool_free(pool);
}

#define DEFINE_SAME(name, type)                                                                              \
    static type same_##name(type x)                                                                          \
    {                                                                                                        \
        return x;                                                                                            \
    }

DEFINE_SAME(int8, int8_t)
DEFINE_SAME(int16, int16_t)
DEFINE_SAME(int32, int32_t)
DEFINE_SAME(int64, int64_t)
DEFINE_SAME(uint8, uint8_t)
DEFINE_SAME(uint16, uint16_t)
DEFINE_SAME(uint32, uint32_t)
DEFINE_SAME(uint64, uint64_t)
DEFINE_SAME(float, float)
DEFINE_SAME(double, double)

/* `count` consecutive items of each operand. */
static kt_map map_of(kt_function function, uint32_t parameters, const uint64_t *count, int64_t *all_strides,
                     const int32_t *types, const int64_t *sizes, char (*places)[MEMORY])
{
    kt_map map = {.function = function, .parameters = parameters, .dimensions = 1, .shape = count};
    for (uint32_t i = 0; i <= parameters; i++) {
        all_strides[i] = sizes[i];
        map.operands[i] = (kt_map_operand){places[i], types[i]};
    }
    map.strides = all_strides;
    return map;
}

static void bytes_come_back(kt_function same, int32_t type, int64_t size)
{
    uint64_t count = 200;
    int64_t all_strides[2];
    kt_map map =
        map_of(same, 1, &count, all_strides, (int32_t[]){type, type}, (int64_t[]){size, size}, memory);
    for (int i = 0; i < 1600; i++) {
        memory[0][i] = (char)(type == KT_ITEM_FLOAT || type == KT_ITEM_DOUBLE ? i % 63 : i * 37); /* no NaN */
    }
    memset(memory[1], 0, MEMORY);
    kt_map_chunk(0, count, &map);
    CHECK(memcmp(memory[0], memory[1], (size_t)size * count) == 0);
    CHECK(memory[1][(size_t)size * count] == 0);
}

static void every_type_goes_in_and_comes_out(void)
{
    bytes_come_back(FUNCTION(same_int8), KT_ITEM_INT8, 1);
    bytes_come_back(FUNCTION(same_int16), KT_ITEM_INT16, 2);
    bytes_come_back(FUNCTION(same_int32), KT_ITEM_INT32, 4);
    bytes_come_back(FUNCTION(same_int64), KT_ITEM_INT64, 8);
    bytes_come_back(FUNCTION(same_uint8), KT_ITEM_UINT8, 1);
    bytes_come_back(FUNCTION(same_uint16), KT_ITEM_UINT16, 2);
    bytes_come_back(FUNCTION(same_uint32), KT_ITEM_UINT32, 4);
    bytes_come_back(FUNCTION(same_uint64), KT_ITEM_UINT64, 8);
    bytes_come_back(FUNCTION(same_float), KT_ITEM_FLOAT, 4);
    bytes_come_back(FUNCTION(same_double), KT_ITEM_DOUBLE, 8);
}

static void narrow_integers_are_extended_by_their_sign(void)
{
    uint64_t one = 1;
    int64_t all_strides[2], result;
    kt_map map = map_of(FUNCTION(same_int64), 1, &one, all_strides, (int32_t[]){KT_ITEM_INT8, KT_ITEM_INT64},
                        (int64_t[]){1, 8}, memory);
    memory[0][0] = memory[0][1] = memory[0][2] = memory[0][3] = (char)-2;
    kt_map_chunk(0, 1, &map);
    memcpy(&result, memory[1], sizeof result);
    CHECK(result == -2);
    map = map_of(FUNCTION(same_uint64), 1, &one, all_strides, (int32_t[]){KT_ITEM_UINT32, KT_ITEM_UINT64},
                 (int64_t[]){4, 8}, memory);
    kt_map_chunk(0, 1, &map);
    memcpy(&result, memory[1], sizeof result);
    CHECK(result == 0xfefefefe);
}

static double weigh(int a, double b, int64_t c, float d, uint8_t e, double f, int64_t g, double h, int16_t i,
                    double j, double k, double l, double m, unsigned n)
{
    return a + 2 * b + 3 * (double)c + 4 * (double)d + 5 * e + 6 * f + 7 * (double)g + 8 * h + 9 * i +
           10 * j + 11 * k + 12 * l + 13 * m + 14 * n;
}

static void as_many_parameters_as_there_are_registers(void)
{
    static const int32_t types[] = {KT_ITEM_INT32,  KT_ITEM_DOUBLE, KT_ITEM_INT64,  KT_ITEM_FLOAT,
                                    KT_ITEM_UINT8,  KT_ITEM_DOUBLE, KT_ITEM_INT64,  KT_ITEM_DOUBLE,
                                    KT_ITEM_INT16,  KT_ITEM_DOUBLE, KT_ITEM_DOUBLE, KT_ITEM_DOUBLE,
                                    KT_ITEM_DOUBLE, KT_ITEM_UINT32, KT_ITEM_DOUBLE};
    double doubles[14], result = 0, expected = 0;
    float floats[14];
    int64_t integers[14]; /* for items of any size: the machine is little-endian */
    kt_map map = {.function = FUNCTION(weigh), .parameters = 14};
    for (int i = 0; i < 14; i++) {
        doubles[i] = floats[i] = (float)(integers[i] = i * i);
        expected += (i + 1) * i * i;
        map.operands[i].type = types[i];
        map.operands[i].items = types[i] == KT_ITEM_DOUBLE  ? (void *)&doubles[i]
                                : types[i] == KT_ITEM_FLOAT ? (void *)&floats[i]
                                                            : (void *)&integers[i];
    }
    map.operands[14] = (kt_map_operand){&result, KT_ITEM_DOUBLE};
    kt_map_chunk(0, 1, &map); /* no dimensions */
    CHECK(result == expected);
}

int main(void)
{
    RUN(a_chunk_begins_and_ends_anywhere);
    RUN(a_loop_runs_it_on_all_workers);
    RUN(every_type_goes_in_and_comes_out);
    RUN(narrow_integers_are_extended_by_their_sign);
    RUN(as_many_parameters_as_there_are_registers);
    return 0;
}
