/* Pointers as words of a call: buffers, bytes, text and addresses. */
#include "call/call.h"

#include <string.h>

/* The text's own UTF-8, which lives as long as the text. A text with a NUL in it is no C string. */
static int of_text(PyObject *value, uint64_t *word)
{
    Py_ssize_t size;
    const char *text = PyUnicode_AsUTF8AndSize(value, &size);
    if (!text) { /* a lone surrogate, or no memory */
        PyErr_Clear();
        return 0;
    }
    *word = (uintptr_t)text;
    return strlen(text) == (size_t)size;
}

static int of_address(PyObject *value, uint64_t *word)
{
    *word = PyLong_AsUnsignedLongLong(value);
    if (*word == UINT64_MAX && PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    return 1;
}

int kt__pointer(const kt__plan *plan, const struct kt__parameter *parameter, PyObject *value,
                struct kt__keep *keep, uint64_t *word)
{
    if (value == Py_None) {
        *word = 0;
        return 1;
    }
    if (PyBytes_CheckExact(value)) {
        *word = (uintptr_t)PyBytes_AsString(value);
        return parameter->flags & KT_TAKES_BYTES ? 1 : 0;
    }
    if (PyUnicode_CheckExact(value)) {
        return parameter->flags & KT_TAKES_TEXT ? of_text(value, word) : 0;
    }
    if (PyLong_CheckExact(value)) {
        return parameter->flags & KT_TAKES_ADDRESS ? of_address(value, word) : 0;
    }
    return kt__known_buffer(plan->module, parameter, value, keep, word);
}
