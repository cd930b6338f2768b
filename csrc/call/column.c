/* Columns: the arguments of many calls for one parameter. */
#include "call/items.h"

/* What a column is made of. */
struct source {
    PyObject *function;
    kt__plan *plan;
    Py_ssize_t number; /* of the parameter */
    PyObject *values;
    Py_ssize_t count;
    const uint64_t *offsets; /* of slices, in items of this many bytes */
    uint64_t scale;
};

static const struct kt__parameter *parameter_of(const struct source *source)
{
    return &source->plan->parameters[source->number];
}

/* Words for so many values, which follow each other. Returns NULL with an exception. */
static uint64_t *new_words(const struct source *source, kt__held *held, Py_ssize_t count)
{
    held->words = PyMem_Calloc((size_t)count + 1, sizeof *held->words);
    if (!held->words) {
        PyErr_NoMemory();
    }
    held->items = held->words;
    held->stride = sizeof *held->words;
    held->item = kt__item_of_word(parameter_of(source));
    return held->words;
}

static int convert(const struct source *source, Py_ssize_t row, PyObject *value, kt__held *held,
                   uint64_t *word)
{
    return kt__convert(source->function, source->plan, source->number, row, value, &held->keep, word);
}

/* Of a tuple. */
static int fill_from_tuple(const struct source *source, kt__held *held)
{
    uint64_t *words = new_words(source, held, source->count);
    if (!words) {
        return -1;
    }
    held->keep.room = source->count;
    for (Py_ssize_t i = 0; i < source->count; i++) {
        if (convert(source, i, PyTuple_GetItem(source->values, i), held, &words[i]) < 0) {
            return -1;
        }
    }
    return 1;
}

/* Of a buffer of numbers. An item that is out of range is left to the converters in Python. */
static int fill_from_numbers(const struct source *source, kt__held *held, struct kt__items items)
{
    uint64_t *words = new_words(source, held, source->count);
    if (!words) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < source->count; i++, items.at += items.stride) {
        if (!kt__word_of_item(parameter_of(source), items, &words[i])) {
            PyObject *value = PySequence_GetItem(source->values, i);
            int converted = value ? convert(source, i, value, held, &words[i]) : -1;
            Py_XDECREF(value);
            if (converted < 0) {
                return -1;
            }
        }
    }
    return 1;
}

/* Of a contiguous buffer of so many bytes, with more than one dimension: pointers to its rows. */
static int fill_from_rows(const struct source *source, kt__held *held, Py_ssize_t length)
{
    uint64_t first;
    Py_ssize_t stride = source->count ? length / source->count : 0;
    uint64_t *words = new_words(source, held, source->count);
    if (!words || convert(source, 0, source->values, held, &first) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < source->count; i++) {
        words[i] = first + (uint64_t)(i * stride);
    }
    return 1;
}

static int fill_in_place(const struct source *source, kt__held *held, struct kt__items items)
{
    held->items = items.at;
    held->stride = items.stride;
    held->item = kt__item_in_place(parameter_of(source));
    return 1;
}

/* Of a buffer. Returns 0 if it has to be iterated over. */
static int fill_from_view(const struct source *source, kt__held *held, const Py_buffer *view)
{
    const struct kt__parameter *parameter = parameter_of(source);
    if (view->ndim < 1 || view->suboffsets || !view->shape || view->shape[0] != source->count) {
        return 0;
    }
    if (parameter->kind == KT_POINTER) {
        return view->ndim > 1 && PyBuffer_IsContiguous(view, 'C') ? fill_from_rows(source, held, view->len)
                                                                  : 0;
    }
    struct kt__items items = kt__items_of(view);
    bool are_bools = items.kind == KT_BOOLS; /* NumPy's are no numbers */
    if (view->ndim > 1 || items.kind == KT_NO_NUMBERS || parameter->kind == KT_CHAR ||
        (are_bools && parameter->kind != KT_BOOL)) {
        return 0;
    }
    return kt__are_in_place(parameter, items) ? fill_in_place(source, held, items)
                                              : fill_from_numbers(source, held, items);
}

static int fill_from_buffer(const struct source *source, kt__held *held)
{
    if (PyObject_GetBuffer(source->values, held->keep.views, PyBUF_FULL_RO) < 0) {
        PyErr_Clear();
        return 0;
    }
    held->keep.count = 1;
    return fill_from_view(source, held, held->views);
}

/* One value for all calls. */
static int fill_from_scalar(const struct source *source, kt__held *held)
{
    uint64_t *words = new_words(source, held, 1);
    held->stride = 0;
    return !words || convert(source, -1, source->values, held, words) < 0 ? -1 : 1;
}

/* Pointers into the memory that one value is. `offsets` says where. */
static int fill_from_offsets(const struct source *source, kt__held *held)
{
    uint64_t first;
    uint64_t *words = new_words(source, held, source->count);
    if (!words || convert(source, -1, source->values, held, &first) < 0) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < source->count; i++) {
        words[i] = first + source->offsets[i] * source->scale;
    }
    return 1;
}

/* Fills a new column, with room for so many views within it. Returns None if `fill` returns 0. */
static PyObject *make(struct source *source, PyObject *number, Py_ssize_t room,
                      int (*fill)(const struct source *source, kt__held *held))
{
    if (!(source->plan = kt__plan_of(source->function))) {
        return NULL;
    }
    source->number = PyLong_AsSsize_t(number);
    if (source->number < 0 || source->number >= source->plan->count) {
        PyErr_SetString(PyExc_IndexError, "there is no such parameter");
        return NULL;
    }
    kt__held *held = kt__held_new(source->plan->module, source->values, room);
    int filled = held ? fill(source, held) : -1;
    if (filled <= 0) {
        Py_CLEAR(held);
    }
    return filled == 0 ? Py_NewRef(Py_None) : (PyObject *)held;
}

static int check_arguments(const char *name, Py_ssize_t given, Py_ssize_t wanted)
{
    if (given != wanted) {
        PyErr_Format(PyExc_TypeError, "%s takes %zd arguments, not %zd", name, wanted, given);
        return -1;
    }
    return 0;
}

PyObject *kt__column_of_tuple(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (check_arguments("column_of_tuple", count, 2) < 0) {
        return NULL;
    }
    struct source source = {.function = self, .values = args[1], .count = PyTuple_Size(args[1])};
    return source.count < 0 ? NULL : make(&source, args[0], 0, fill_from_tuple);
}

PyObject *kt__column_of_buffer(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (check_arguments("column_of_buffer", count, 3) < 0) {
        return NULL;
    }
    struct source source = {.function = self, .values = args[1], .count = PyLong_AsSsize_t(args[2])};
    if (source.count < 0) {
        return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
    }
    return make(&source, args[0], 2, fill_from_buffer); /* its own view, and that of a pointer */
}

PyObject *kt__column_of_scalar(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (check_arguments("column_of_scalar", count, 2) < 0) {
        return NULL;
    }
    struct source source = {.function = self, .values = args[1], .count = 1};
    return make(&source, args[0], 1, fill_from_scalar);
}

PyObject *kt__column_of_slices(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    if (check_arguments("column_of_slices", count, 4) < 0) {
        return NULL;
    }
    const char *offsets = PyBytes_AsString(args[2]);
    unsigned long long scale = offsets ? PyLong_AsUnsignedLongLong(args[3]) : 0;
    if (PyErr_Occurred()) {
        return NULL;
    }
    struct source source = {.function = self,
                            .values = args[1],
                            .count = PyBytes_Size(args[2]) / (Py_ssize_t)sizeof(uint64_t),
                            .offsets = (const uint64_t *)(const void *)offsets,
                            .scale = scale};
    return make(&source, args[0], 1, fill_from_offsets);
}
