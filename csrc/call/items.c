/* Buffers of numbers, whose items are arguments of many calls. */
#include "call/items.h"

#include <string.h>

int kt__item_of_word(const struct kt__parameter *parameter)
{
    return parameter->kind == KT_FLOAT    ? KT_ITEM_FLOAT
           : parameter->kind == KT_DOUBLE ? KT_ITEM_DOUBLE
                                          : KT_ITEM_UINT64;
}

int kt__item_in_place(const struct kt__parameter *parameter)
{
    static const int signed_items[] = {
        [1] = KT_ITEM_INT8, [2] = KT_ITEM_INT16, [4] = KT_ITEM_INT32, [8] = KT_ITEM_INT64};
    static const int unsigned_items[] = {
        [1] = KT_ITEM_UINT8, [2] = KT_ITEM_UINT16, [4] = KT_ITEM_UINT32, [8] = KT_ITEM_UINT64};
    return kt__is_float(parameter) ? kt__item_of_word(parameter)
           : parameter->low < 0    ? signed_items[parameter->size]
                                   : unsigned_items[parameter->size];
}

/* What the items of a format are; KT_NO_NUMBERS for those of a foreign byte order, structures and the like.
 */
static int kind_of_format(const char *format)
{
    if (strchr("@=<", *format) && *format && (*format != '<' || __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)) {
        format++;
    }
    if (!*format || format[1]) {
        return KT_NO_NUMBERS;
    }
    return strchr("bhilqn", *format)   ? KT_SIGNED
           : strchr("BHILQN", *format) ? KT_UNSIGNED
           : strchr("fd", *format)     ? KT_FLOATING
           : *format == '?'            ? KT_BOOLS
                                       : KT_NO_NUMBERS;
}

struct kt__items kt__items_of(const Py_buffer *view)
{
    int kind = kind_of_format(view->format ? view->format : "B");
    int is_sized = view->itemsize == 1 || view->itemsize == 2 || view->itemsize == 4 || view->itemsize == 8;
    return (struct kt__items){
        .at = view->buf,
        .size = view->itemsize,
        .stride = view->strides ? view->strides[0] : view->itemsize,
        .kind = is_sized ? kind : KT_NO_NUMBERS,
    };
}

bool kt__are_in_place(const struct kt__parameter *parameter, struct kt__items items)
{
    if (items.size != parameter->size) {
        return false;
    }
    if (kt__is_float(parameter)) {
        return items.kind == KT_FLOATING;
    }
    return parameter->kind == KT_INTEGER && items.kind == (parameter->low < 0 ? KT_SIGNED : KT_UNSIGNED);
}

static uint64_t load_unsigned(struct kt__items items)
{
    uint64_t value = 0;
    memcpy((char *)&value + (__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : 8 - items.size), items.at,
           (size_t)items.size);
    return value;
}

int64_t kt__load_integer(struct kt__items items)
{
    int unused = 64 - 8 * (int)items.size;
    uint64_t bits = load_unsigned(items);
    return items.kind == KT_SIGNED ? (int64_t)(bits << unused) >> unused : (int64_t)bits;
}

static double load_float(struct kt__items items)
{
    double wide;
    float narrow;
    if (items.size == sizeof narrow) {
        memcpy(&narrow, items.at, sizeof narrow);
        return (double)narrow;
    }
    memcpy(&wide, items.at, sizeof wide);
    return wide;
}

bool kt__word_of_item(const struct kt__parameter *parameter, struct kt__items items, uint64_t *word)
{
    if (items.kind == KT_FLOATING) {
        *word = kt__floating(parameter, load_float(items));
        return kt__is_float(parameter);
    }
    uint64_t bits = load_unsigned(items);
    int64_t value = items.kind == KT_SIGNED ? kt__load_integer(items) : 0;
    if (items.kind == KT_BOOLS) {
        bits = bits != 0;
    }
    if (kt__is_float(parameter)) {
        *word = kt__floating(parameter, value < 0 ? (double)value : (double)bits);
        return true;
    }
    *word = kt__extended(parameter, value < 0 ? (uint64_t)value : bits);
    return value < 0 ? value >= parameter->low : bits <= parameter->high;
}
