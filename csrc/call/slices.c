/* Slices of one buffer, which offsets divide: the arguments of many calls. */
#include "call/items.h"

static PyObject *new_numbers(Py_ssize_t count, int64_t **numbers)
{
    PyObject *bytes = PyBytes_FromStringAndSize(NULL, count * (Py_ssize_t)sizeof(int64_t));
    *numbers = bytes ? (int64_t *)(void *)PyBytes_AsString(bytes) : NULL;
    return bytes;
}

static int refuse(Py_ssize_t row, int64_t begin, int64_t end, int64_t limit)
{
    PyErr_Format(PyExc_ValueError, "slice %zd is from %lld to %lld, of %lld items", row, (long long)begin,
                 (long long)end, (long long)limit);
    return -1;
}

static int divide(struct kt__items offsets, Py_ssize_t count, int64_t limit, int64_t *begins,
                  int64_t *lengths)
{
    int64_t begin = kt__load_integer(offsets);
    for (Py_ssize_t i = 0; i < count; i++) {
        offsets.at += offsets.stride;
        int64_t end = kt__load_integer(offsets);
        if (begin < 0 || end < begin || end > limit) { /* a number beyond 2**63 is negative here */
            return refuse(i, begin, end, limit);
        }
        begins[i] = begin;
        lengths[i] = end - begin;
        begin = end;
    }
    return 0;
}

static PyObject *divide_by(const Py_buffer *offsets, int64_t limit)
{
    struct kt__items items =
        offsets->ndim == 1 && !offsets->suboffsets ? kt__items_of(offsets) : (struct kt__items){0};
    if ((items.kind != KT_SIGNED && items.kind != KT_UNSIGNED) || offsets->shape[0] < 1) {
        PyErr_SetString(PyExc_TypeError,
                        "offsets must be a buffer of at least one integer, with one dimension");
        return NULL;
    }
    Py_ssize_t count = offsets->shape[0] - 1;
    int64_t *first, *second;
    PyObject *begins = new_numbers(count, &first), *lengths = new_numbers(count, &second), *pair = NULL;
    if (begins && lengths && divide(items, count, limit, first, second) == 0) {
        pair = PyTuple_Pack(2, begins, lengths);
    }
    Py_XDECREF(begins);
    Py_XDECREF(lengths);
    return pair;
}

PyObject *kt__slices(PyObject *module, PyObject *args)
{
    PyObject *offsets;
    Py_buffer view;
    long long limit;
    (void)module;
    if (!PyArg_ParseTuple(args, "OL", &offsets, &limit) ||
        PyObject_GetBuffer(offsets, &view, PyBUF_FULL_RO) < 0) {
        return NULL;
    }
    PyObject *pair = divide_by(&view, limit);
    PyBuffer_Release(&view);
    return pair;
}
