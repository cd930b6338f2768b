/* Buffers that are as those which the converters in Python have accepted. */
#include "call/call.h"

#include <string.h>

int kt__check_of_type(const struct kt__module *module, PyTypeObject *type)
{
    PyObject *check = PyDict_GetItemWithError(module->plain_types, (PyObject *)type);
    if (!check) { /* a metaclass may have raised */
        PyErr_Clear();
    }
    return check ? (int)PyLong_AsLong(check) : 0;
}

/* How a value shows what its items are; 0 if its type is not plain. */
static int check_of(const struct kt__module *module, PyObject *value)
{
    if (!PyMemoryView_Check(value)) {
        return kt__check_of_type(module, Py_TYPE(value));
    }
    PyObject *exporter = PyObject_GetAttr(value, module->obj);
    if (!exporter) { /* the view was released */
        PyErr_Clear();
        return 0;
    }
    int check = PyBytes_CheckExact(exporter) ? KT_CHECK_TYPE : kt__check_of_type(module, Py_TYPE(exporter));
    Py_DECREF(exporter);
    return check ? KT_CHECK_FORMAT : 0;
}

static const char *format_of(const Py_buffer *view)
{
    return view->format ? view->format : "B";
}

static bool has_format(const struct kt__memory *memory, PyObject *type, const Py_buffer *view)
{
    for (int i = 0; i < memory->count; i++) {
        const struct kt__seen *seen = &memory->seen[i];
        if (seen->type == type && seen->check == KT_CHECK_FORMAT && seen->itemsize == view->itemsize &&
            strcmp(seen->format, format_of(view)) == 0) {
            return true;
        }
    }
    return false;
}

/* Whether buffers of this value's type and dtype were seen, and need no further check but that they are
 * contiguous and writable. */
static bool is_alike(const struct kt__module *module, const struct kt__memory *memory, PyObject *value)
{
    PyObject *type = (PyObject *)Py_TYPE(value), *dtype = NULL;
    bool found = false;
    for (int i = 0; i < memory->count && !found; i++) {
        const struct kt__seen *seen = &memory->seen[i];
        if (seen->type != type || seen->check == KT_CHECK_FORMAT) {
            continue;
        }
        if (seen->dtype && !dtype && !(dtype = PyObject_GetAttr(value, module->dtype))) {
            PyErr_Clear();
            break;
        }
        found = seen->dtype == dtype;
    }
    Py_XDECREF(dtype);
    return found;
}

static Py_buffer *next_view(struct kt__keep *keep)
{
    if (!keep->views && !(keep->views = PyMem_Calloc((size_t)keep->room, sizeof keep->views[0]))) {
        PyErr_NoMemory();
        return NULL;
    }
    return &keep->views[keep->count];
}

/* Takes a view, if the exporter gives one. The exporter refuses, for SIMPLE, what is not C-contiguous. */
static int view_of(PyObject *value, Py_buffer *view, int flags)
{
    if (PyObject_GetBuffer(value, view, flags) == 0) {
        return 1;
    }
    if (!PyErr_ExceptionMatches(PyExc_Exception)) {
        return -1;
    }
    PyErr_Clear();
    return 0;
}

/* Whether a view with its format is as one seen before. */
static bool fits(const struct kt__parameter *parameter, PyObject *value, const Py_buffer *view)
{
    return has_format(parameter->memory, (PyObject *)Py_TYPE(value), view) &&
           PyBuffer_IsContiguous(view, 'C') && (!view->readonly || parameter->flags & KT_TAKES_READ_ONLY);
}

int kt__known_buffer(const struct kt__module *module, const struct kt__parameter *parameter, PyObject *value,
                     struct kt__keep *keep, uint64_t *word)
{
    if (parameter->memory->count == 0) {
        return 0;
    }
    Py_buffer *view = next_view(keep);
    if (!view) {
        return -1;
    }
    int found;
    if (is_alike(module, parameter->memory, value)) {
        int flags = parameter->flags & KT_TAKES_READ_ONLY ? PyBUF_SIMPLE : PyBUF_WRITABLE;
        found = view_of(value, view, flags);
    } else {
        found = check_of(module, value) == KT_CHECK_FORMAT ? view_of(value, view, PyBUF_FULL_RO) : 0;
        if (found > 0 && !fits(parameter, value, view)) {
            PyBuffer_Release(view);
            return 0;
        }
    }
    if (found > 0) {
        keep->count++;
        *word = (uintptr_t)view->buf;
    }
    return found;
}

static void add(const struct kt__module *module, struct kt__memory *memory, PyObject *value, int check,
                const Py_buffer *view)
{
    struct kt__seen *seen = &memory->seen[memory->count];
    if (strlen(format_of(view)) >= sizeof seen->format) {
        return;
    }
    if (check == KT_CHECK_DTYPE && !(seen->dtype = PyObject_GetAttr(value, module->dtype))) {
        return;
    }
    strcpy(seen->format, format_of(view));
    seen->itemsize = view->itemsize;
    seen->check = (enum kt__check)check;
    seen->type = Py_NewRef((PyObject *)Py_TYPE(value));
    memory->count++;
}

void kt__learn(const struct kt__module *module, struct kt__parameter *parameter, PyObject *value)
{
    struct kt__memory *memory = parameter->memory;
    if (!memory || !PyObject_CheckBuffer(value) || atomic_flag_test_and_set(&memory->is_learning)) {
        return;
    }
    Py_buffer view;
    int check = memory->count < KT_SEEN ? check_of(module, value) : 0;
    if (check != 0 && PyObject_GetBuffer(value, &view, PyBUF_FULL_RO) == 0) {
        if (!is_alike(module, memory, value) && !has_format(memory, (PyObject *)Py_TYPE(value), &view)) {
            add(module, memory, value, check, &view);
        }
        PyBuffer_Release(&view);
    }
    PyErr_Clear();
    atomic_flag_clear(&memory->is_learning);
}
