/* Maps: a function of numbers is applied to the items of arrays, as the body of a parallel loop.
 *
 * A row is processed in blocks. Arguments of 8 bytes are read in place. Narrower ones are first widened to
 * words, a block at a time, so that the loop that calls the function needs no types: it moves words into
 * registers, calls, and stores a word. This loop is compiled once for each of a few numbers of registers, as
 * filling all fourteen costs more than the call of a small function. A function with more parameters than
 * there are registers is called by a kt_call for each item. */
#include "base/typed_call.h"

#include <stdbool.h>
#include <string.h>

enum {
    BLOCK = 64, /* words; the buffers of all operands take 8 KiB of stack */
    REGISTERS = KT_INTEGER_ARGUMENTS + KT_FLOAT_ARGUMENTS
};

/* The words of an operand, and the bytes from one to the next. */
struct words {
    char *at;
    int64_t stride;
};

/* The words for the registers of consecutive calls. */
struct calls {
    kt_function function;
    bool returns_float;
    size_t count;
    struct words integers[KT_INTEGER_ARGUMENTS],
        floats[KT_FLOAT_ARGUMENTS]; /* words of 0 for unused parameters */
    struct words result;
};

static const size_t size_of[] = {
    [KT_ITEM_INT8] = 1,  [KT_ITEM_INT16] = 2,  [KT_ITEM_INT32] = 4,  [KT_ITEM_INT64] = 8,
    [KT_ITEM_UINT8] = 1, [KT_ITEM_UINT16] = 2, [KT_ITEM_UINT32] = 4, [KT_ITEM_UINT64] = 8,
    [KT_ITEM_BOOL] = 1,  [KT_ITEM_FLOAT] = 4,  [KT_ITEM_DOUBLE] = 8,
};

static bool is_float(int32_t type)
{
    return type == KT_ITEM_FLOAT || type == KT_ITEM_DOUBLE;
}

/* Items may be misaligned, hence memcpy. */

#define WIDEN(type, word)                                                                                    \
    for (size_t i = 0; i < count; i++) {                                                                     \
        type item;                                                                                           \
        memcpy(&item, from.at + (int64_t)i * from.stride, sizeof item);                                      \
        words[i] = (uint64_t)(word);                                                                         \
    }

static void widen(int32_t type, struct words from, size_t count, uint64_t *words)
{
    switch (type) {
    case KT_ITEM_INT8:
        WIDEN(int8_t, item);
        break;
    case KT_ITEM_INT16:
        WIDEN(int16_t, item);
        break;
    case KT_ITEM_INT32:
        WIDEN(int32_t, item);
        break;
    case KT_ITEM_UINT8:
        WIDEN(uint8_t, item);
        break;
    case KT_ITEM_UINT16:
        WIDEN(uint16_t, item);
        break;
    case KT_ITEM_UINT32:
    case KT_ITEM_FLOAT:
        WIDEN(uint32_t, item); /* the bits of a float */
        break;
    case KT_ITEM_BOOL:
        WIDEN(uint8_t, item != 0); /* the only true value of C's bool is 1 */
        break;
    default:
        WIDEN(uint64_t, item);
        break;
    }
}

#define NARROW(type)                                                                                         \
    for (size_t i = 0; i < count; i++) {                                                                     \
        type item = (type)words[i];                                                                          \
        memcpy(to.at + (int64_t)i * to.stride, &item, sizeof item);                                          \
    }

static void narrow(int32_t type, struct words to, size_t count, const uint64_t *words)
{
    switch (size_of[type]) {
    case 1:
        NARROW(uint8_t);
        break;
    case 2:
        NARROW(uint16_t);
        break;
    case 4:
        NARROW(uint32_t);
        break;
    default:
        NARROW(uint64_t);
        break;
    }
}

/* The registers of both kinds are filled as typed_call.c explains. */

static inline uint64_t integer_at(struct words from, size_t i)
{
    uint64_t word;
    memcpy(&word, from.at + (int64_t)i * from.stride, sizeof word);
    return word;
}

static inline double float_at(struct words from, size_t i)
{
    double word;
    memcpy(&word, from.at + (int64_t)i * from.stride, sizeof word);
    return word;
}

#define I(n) integer_at(calls->integers[n], i)
#define F(n) float_at(calls->floats[n], i)

#define DEFINE_CALLS(name, types, arguments)                                                                 \
    static void name(const struct calls *calls)                                                              \
    {                                                                                                        \
        struct words to = calls->result;                                                                     \
        if (calls->returns_float) {                                                                          \
            double(*function) types = (double(*) types)calls->function;                                      \
            for (size_t i = 0; i < calls->count; i++) {                                                      \
                double result = function arguments;                                                          \
                memcpy(to.at + (int64_t)i * to.stride, &result, sizeof result);                              \
            }                                                                                                \
        } else {                                                                                             \
            uint64_t(*function) types = (uint64_t(*) types)calls->function;                                  \
            for (size_t i = 0; i < calls->count; i++) {                                                      \
                uint64_t result = function arguments;                                                        \
                memcpy(to.at + (int64_t)i * to.stride, &result, sizeof result);                              \
            }                                                                                                \
        }                                                                                                    \
    }

DEFINE_CALLS(call_1_float, (double), (F(0)))
DEFINE_CALLS(call_2_floats, (double, double), (F(0), F(1)))
DEFINE_CALLS(call_4_floats, (double, double, double, double), (F(0), F(1), F(2), F(3)))
DEFINE_CALLS(call_2_integers_2_floats, (uint64_t, uint64_t, double, double), (I(0), I(1), F(0), F(1)))
DEFINE_CALLS(call_all,
             (uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, double, double, double, double,
              double, double, double, double),
             (I(0), I(1), I(2), I(3), I(4), I(5), F(0), F(1), F(2), F(3), F(4), F(5), F(6), F(7)))

static void call(const struct calls *calls, uint32_t integers, uint32_t floats)
{
    if (integers == 0 && floats <= 1) {
        call_1_float(calls);
    } else if (integers == 0 && floats <= 2) {
        call_2_floats(calls);
    } else if (integers == 0 && floats <= 4) {
        call_4_floats(calls);
    } else if (integers <= 2 && floats <= 2) {
        call_2_integers_2_floats(calls);
    } else {
        call_all(calls);
    }
}

/* The position of a chunk in the arrays. */
struct walk {
    const kt_map *map;
    uint64_t index[KT_MAP_DIMENSIONS];
    int64_t offset[KT_MAP_OPERANDS]; /* of the next items, in bytes */
};

static int64_t stride(const kt_map *map, uint32_t operand, uint32_t dimension)
{
    return map->strides[operand * map->dimensions + dimension];
}

static uint64_t left_in_row(const struct walk *walk)
{
    const kt_map *map = walk->map;
    return map->dimensions ? map->shape[map->dimensions - 1] - walk->index[map->dimensions - 1] : 1;
}

static int64_t item_stride(const kt_map *map, uint32_t operand)
{
    return map->dimensions ? stride(map, operand, map->dimensions - 1) : 0;
}

/* The next items of an operand, in place. */
static struct words items_at(const struct walk *walk, uint32_t operand)
{
    const kt_map *map = walk->map;
    return (struct words){(char *)map->operands[operand].items + walk->offset[operand],
                          item_stride(map, operand)};
}

/* Whether all parameters fit in registers. */
static bool fits(const kt_map *map)
{
    uint32_t integers = 0, floats = 0;
    for (uint32_t i = 0; i < map->parameters; i++) {
        *(is_float(map->operands[i].type) ? &floats : &integers) += 1;
    }
    return integers <= KT_INTEGER_ARGUMENTS && floats <= KT_FLOAT_ARGUMENTS;
}

/* The item of an operand at this distance from the next one, in place. */
static struct words item_at(const struct walk *walk, uint32_t operand, size_t distance)
{
    struct words words = items_at(walk, operand);
    words.at += (int64_t)distance * words.stride;
    return words;
}

static void call_with_more(const struct walk *walk, size_t distance)
{
    const kt_map *map = walk->map;
    uint64_t more[KT_MORE_ARGUMENTS];
    kt_call call = {.function = map->function, .kind = KT_RESULT_INTEGER, .more = more};
    uint32_t integers = 0, floats = 0;
    for (uint32_t i = 0; i < map->parameters; i++) {
        int32_t type = map->operands[i].type;
        uint64_t word;
        widen(type, item_at(walk, i, distance), 1, &word);
        if (is_float(type) && floats < KT_FLOAT_ARGUMENTS) {
            call.floats[floats++] = word;
        } else if (!is_float(type) && integers < KT_INTEGER_ARGUMENTS) {
            call.integers[integers++] = word;
        } else {
            call.more_floats |= (uint32_t)is_float(type) << call.more_count;
            more[call.more_count++] = word;
        }
    }
    int32_t type = map->operands[map->parameters].type;
    call.kind = is_float(type) ? KT_RESULT_FLOAT : KT_RESULT_INTEGER;
    kt__call_without_libc(&call);
    narrow(type, item_at(walk, map->parameters, distance), 1, &call.result);
}

static void run_items(const struct walk *walk, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        call_with_more(walk, i);
    }
}

static void run_block(const struct walk *walk, size_t count)
{
    static uint64_t zero; /* read-only */
    uint64_t buffer[REGISTERS + 1][BLOCK];
    const kt_map *map = walk->map;
    uint32_t parameters = map->parameters, integers = 0, floats = 0;
    struct calls calls = {.function = map->function, .count = count};
    for (uint32_t i = 0; i < KT_INTEGER_ARGUMENTS; i++) {
        calls.integers[i].at = (char *)&zero;
    }
    for (uint32_t i = 0; i < KT_FLOAT_ARGUMENTS; i++) {
        calls.floats[i].at = (char *)&zero;
    }
    for (uint32_t i = 0; i < parameters; i++) {
        int32_t type = map->operands[i].type;
        struct words words = items_at(walk, i);
        if (size_of[type] < sizeof(uint64_t)) {
            widen(type, words, count, buffer[i]);
            words = (struct words){(char *)buffer[i], sizeof(uint64_t)};
        }
        *(is_float(type) ? &calls.floats[floats++] : &calls.integers[integers++]) = words;
    }
    int32_t type = map->operands[parameters].type;
    struct words result = items_at(walk, parameters);
    bool narrows = size_of[type] < sizeof(uint64_t);
    calls.returns_float = is_float(type);
    calls.result = narrows ? (struct words){(char *)buffer[parameters], sizeof(uint64_t)} : result;
    call(&calls, integers, floats);
    if (narrows) {
        narrow(type, result, count, buffer[parameters]);
    }
}

static void seek(struct walk *walk, uint64_t item)
{
    const kt_map *map = walk->map;
    for (uint32_t d = map->dimensions; d-- > 0; item /= map->shape[d]) {
        walk->index[d] = item % map->shape[d];
        for (uint32_t o = 0; o <= map->parameters; o++) {
            walk->offset[o] += (int64_t)walk->index[d] * stride(map, o, d);
        }
    }
}

static void advance(struct walk *walk, uint64_t items)
{
    const kt_map *map = walk->map;
    if (map->dimensions == 0) {
        return;
    }
    uint32_t d = map->dimensions - 1;
    walk->index[d] += items;
    for (uint32_t o = 0; o <= map->parameters; o++) {
        walk->offset[o] += (int64_t)items * stride(map, o, d);
    }
    for (; d > 0 && walk->index[d] == map->shape[d]; d--) {
        walk->index[d] = 0;
        walk->index[d - 1]++;
        for (uint32_t o = 0; o <= map->parameters; o++) {
            walk->offset[o] += stride(map, o, d - 1) - (int64_t)map->shape[d] * stride(map, o, d);
        }
    }
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

void kt_map_chunk(uint64_t begin, uint64_t end, const kt_map *map)
{
    struct walk walk = {.map = map};
    bool in_registers = fits(map);
    if (begin < end) { /* else there may be no item to start at */
        seek(&walk, begin);
    }
    for (uint64_t count; begin < end; begin += count) {
        count = least(least(end - begin, left_in_row(&walk)), BLOCK);
        if (in_registers) {
            run_block(&walk, count);
        } else {
            run_items(&walk, count);
        }
        advance(&walk, count);
    }
}
