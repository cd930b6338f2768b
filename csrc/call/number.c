/* Numbers, truth values and characters as words of a call, and results as Python values. */
#include "call/call.h"

#include <string.h>

/* Whether the current exception is one that the converters in Python give a better text. */
static int is_explained(void)
{
    if (!PyErr_ExceptionMatches(PyExc_TypeError) && !PyErr_ExceptionMatches(PyExc_ValueError) &&
        !PyErr_ExceptionMatches(PyExc_OverflowError)) {
        return 0;
    }
    PyErr_Clear();
    return 1;
}

static int integer(const struct kt__parameter *parameter, PyObject *value, uint64_t *word)
{
    int overflow;
    long long number = PyLong_AsLongLongAndOverflow(value, &overflow);
    if (overflow == 0) {
        *word = kt__extended(parameter, (uint64_t)number);
        return number >= parameter->low && (number < 0 || (uint64_t)number <= parameter->high);
    }
    if (overflow < 0 || parameter->high != UINT64_MAX) {
        return 0;
    }
    *word = PyLong_AsUnsignedLongLong(value);
    return PyErr_Occurred() ? -!is_explained() : 1;
}

uint64_t kt__floating(const struct kt__parameter *parameter, double number)
{
    uint64_t word = 0;
    float narrow = (float)number; /* a number that is too large becomes infinite */
    if (parameter->kind == KT_DOUBLE) {
        memcpy(&word, &number, sizeof number);
    } else {
        memcpy(&word, &narrow, sizeof narrow);
    }
    return word;
}

static int number_of_float(const struct kt__parameter *parameter, PyObject *value, uint64_t *word)
{
    /* A class may derive from float and have a value of its own. */
    PyObject *plain =
        PyFloat_CheckExact(value) || !PyFloat_Check(value) ? Py_NewRef(value) : PyNumber_Float(value);
    double number = plain ? PyFloat_AsDouble(plain) : -1;
    Py_XDECREF(plain);
    if (number == -1 && PyErr_Occurred()) {
        return -!is_explained();
    }
    *word = kt__floating(parameter, number);
    return 1;
}

static int number_of_integer(const struct kt__parameter *parameter, PyObject *value, uint64_t *word)
{
    if (PyLong_Check(value)) {
        return integer(parameter, value, word);
    }
    PyObject *index = PyNumber_Index(value);
    if (!index) {
        return -!is_explained();
    }
    int found = integer(parameter, index, word);
    Py_DECREF(index);
    return found;
}

static int number_of_char(const struct kt__parameter *parameter, PyObject *value, uint64_t *word)
{
    if (!PyBytes_CheckExact(value) || PyBytes_Size(value) != 1) {
        return 0;
    }
    char character = *PyBytes_AsString(value);
    *word = parameter->low < 0 ? (uint64_t)(int64_t)(signed char)character : (unsigned char)character;
    return 1;
}

int kt__number(const struct kt__parameter *parameter, PyObject *value, uint64_t *word)
{
    switch (parameter->kind) {
    case KT_INTEGER:
        return number_of_integer(parameter, value, word);
    case KT_BOOL:
        return PyLong_Check(value) && integer(parameter, value, word);
    case KT_CHAR:
        return number_of_char(parameter, value, word);
    default:
        return number_of_float(parameter, value, word);
    }
}

int kt__store(const struct kt__parameter *parameter, PyObject *number, uint64_t *word)
{
    if (kt__is_float(parameter)) {
        double value = PyFloat_AsDouble(number);
        *word = kt__floating(parameter, value);
        return value == -1 && PyErr_Occurred() ? -1 : 0;
    }
    unsigned long long bits = PyLong_AsUnsignedLongLongMask(number);
    if (bits == (unsigned long long)-1 && PyErr_Occurred()) {
        return -1;
    }
    *word = parameter->kind == KT_INTEGER ? kt__extended(parameter, bits) : bits;
    return 0;
}

static PyObject *read_integer(const struct kt__parameter *result, uint64_t bits)
{
    int unused = 64 - 8 * result->size;
    if (result->low < 0) {
        return PyLong_FromLongLong((int64_t)(bits << unused) >> unused);
    }
    return PyLong_FromUnsignedLongLong(bits << unused >> unused);
}

PyObject *kt__read(const kt__plan *plan, uint64_t bits)
{
    float narrow;
    double wide;
    switch (plan->result.kind) {
    case KT_VOID:
        return Py_NewRef(Py_None);
    case KT_INTEGER:
        return read_integer(&plan->result, bits);
    case KT_BOOL:
        return PyBool_FromLong((long)(bits & 0xff));
    case KT_CHAR:
        return PyBytes_FromStringAndSize((const char[]){(char)bits}, 1);
    case KT_FLOAT:
        memcpy(&narrow, &bits, sizeof narrow);
        return PyFloat_FromDouble((double)narrow);
    case KT_DOUBLE:
        memcpy(&wide, &bits, sizeof wide);
        return PyFloat_FromDouble(wide);
    default:
        break;
    }
    return plan->module->make_pointer((void *)(uintptr_t)bits, plan->pointer_type);
}
