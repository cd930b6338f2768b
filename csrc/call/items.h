/* The items of a buffer of numbers. */
#ifndef KT_ITEMS_H
#define KT_ITEMS_H

#include "call/call.h"

struct kt__items {
    const char *at;  /* the first one */
    Py_ssize_t size; /* of one, in bytes */
    int64_t stride;
    enum { KT_NO_NUMBERS, KT_SIGNED, KT_UNSIGNED, KT_FLOATING, KT_BOOLS } kind;
};

/* Of a view with one dimension. */
struct kt__items kt__items_of(const Py_buffer *view);

/* Whether the engine can read the items where they are, as arguments for a parameter. */
bool kt__are_in_place(const struct kt__parameter *parameter, struct kt__items items);

/* The word of the first item; false if it is out of range, or no number of the parameter's kind. */
bool kt__word_of_item(const struct kt__parameter *parameter, struct kt__items items, uint64_t *word);

/* The first item, of signed or unsigned integers. One of 2**63 or more is negative. */
int64_t kt__load_integer(struct kt__items items);

/* The enum kt_item of items that are in place, and of words. */
int kt__item_in_place(const struct kt__parameter *parameter);
int kt__item_of_word(const struct kt__parameter *parameter);

#endif
