/* Functions: called at once on the calling thread, or with their arguments written into a kt_call. */
#include "call/call.h"

kt__plan *kt__plan_of(PyObject *function)
{
    PyObject *plan = ((kt__function *)function)->plan;
    if (!plan) {
        Py_XDECREF(PyObject_GetAttrString(function, "plan"));
    }
    return (kt__plan *)plan;
}

static int init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    kt__function *function = (kt__function *)self;
    struct kt__module *module = kt__module_of(Py_TYPE(self));
    PyObject *address, *plan;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "OO!", &address, module->plan, &plan)) {
        return -1;
    }
    void *pointer = PyLong_AsVoidPtr(address);
    if (!pointer && PyErr_Occurred()) {
        return -1;
    }
    if (function->plan) {
        PyErr_SetString(PyExc_ValueError, "a function is made once");
        return -1;
    }
    function->function = (kt_function)(uintptr_t)pointer;
    function->plan = Py_NewRef(plan);
    return 0;
}

static PyObject *call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    kt__plan *plan = kt__plan_of(self);
    if (!plan) {
        return NULL;
    }
    if (kwargs && PyDict_Size(kwargs) > 0) {
        PyErr_SetString(PyExc_TypeError, "a native function takes no keyword arguments");
        return NULL;
    }
    Py_buffer views[KT_ARGUMENTS];
    uint64_t more[KT_MORE_ARGUMENTS];
    struct kt__keep keep = {.views = views};
    kt_call call;
    if (kt__convert_all(self, plan, args, &keep, more, &call) < 0) {
        kt__release(&keep);
        return NULL;
    }
    PyThreadState *state = PyEval_SaveThread();
    kt_call_run(&call);
    PyEval_RestoreThread(state);
    kt__release(&keep);
    return kt__read(plan, call.result);
}

static PyObject *fill_call(PyObject *self, kt__plan *plan, kt_call *call, PyObject *args)
{
    struct kt__keep nothing = {0};
    kt__held *held = NULL;
    void *after;
    if ((plan->pointers || plan->more_count) && !(held = kt__hold(plan, args, plan->pointers, 0, &after))) {
        return NULL;
    }
    int converted =
        kt__convert_all(self, plan, args, held ? &held->keep : &nothing, held ? held->more : NULL, call);
    kt__release(&nothing);
    if (converted < 0) {
        Py_CLEAR(held);
        return NULL;
    }
    return held ? (PyObject *)held : Py_NewRef(Py_None);
}

static PyObject *fill(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    kt__plan *plan = kt__plan_of(self);
    Py_buffer memory;
    if (!plan) {
        return NULL;
    }
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "fill takes the memory of a call and its arguments");
        return NULL;
    }
    if (PyObject_GetBuffer(args[0], &memory, PyBUF_WRITABLE) < 0) {
        return NULL;
    }
    PyObject *held = NULL, *tuple = PySequence_Tuple(args[1]);
    if (tuple && memory.len < (Py_ssize_t)sizeof(kt_call)) {
        PyErr_SetString(PyExc_ValueError, "the memory is too small for a call");
    } else if (tuple) {
        held = fill_call(self, plan, memory.buf, tuple);
    }
    Py_XDECREF(tuple);
    PyBuffer_Release(&memory);
    return held;
}

/* Converts arguments into a call that begins memory of this size, within a new object. Stores where it is. */
static kt__held *convert_into(PyObject *self, kt__plan *plan, PyObject *args, size_t size, void **memory)
{
    kt__held *held = kt__hold(plan, args, plan->pointers, size, memory);
    if (held && kt__convert_all(self, plan, args, &held->keep, held->more, *memory) < 0) {
        Py_CLEAR(held);
    }
    return held;
}

/* The object, and a pointer of a type of cffi to the memory within it. Takes over the reference. */
static PyObject *with_pointer(const kt__plan *plan, kt__held *held, void *memory, PyObject *type)
{
    PyObject *pointer = plan->module->make_pointer(memory, type);
    PyObject *pair = pointer ? PyTuple_Pack(2, held, pointer) : NULL;
    Py_XDECREF(pointer);
    Py_DECREF((PyObject *)held);
    return pair;
}

static PyObject *call_of(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    kt__plan *plan = kt__plan_of(self);
    if (!plan) {
        return NULL;
    }
    if (count != 2 || !PyTuple_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "call takes a tuple of arguments and a type");
        return NULL;
    }
    void *memory;
    kt__held *held = convert_into(self, plan, args[0], sizeof(kt_call), &memory);
    return held ? with_pointer(plan, held, memory, args[1]) : NULL;
}

static PyObject *task(PyObject *self, PyObject *const *args, Py_ssize_t count)
{
    kt__plan *plan = kt__plan_of(self);
    if (!plan) {
        return NULL;
    }
    if (count != 4 || !PyTuple_Check(args[0])) {
        PyErr_SetString(PyExc_TypeError, "task takes a tuple of arguments, two numbers and a type");
        return NULL;
    }
    void *memory, *completions = PyLong_AsVoidPtr(args[1]);
    unsigned long long tag = PyLong_AsUnsignedLongLong(args[2]);
    if (PyErr_Occurred()) {
        return NULL;
    }
    kt__held *held = convert_into(self, plan, args[0], sizeof(kt_task), &memory);
    if (!held) {
        return NULL;
    }
    ((kt_task *)memory)->completions = completions;
    ((kt_task *)memory)->tag = tag;
    return with_pointer(plan, held, memory, args[3]);
}

static PyObject *with_owner(PyObject *self, PyObject *owner)
{
    kt__function *original = (kt__function *)self;
    if (!kt__plan_of(self)) {
        return NULL;
    }
    kt__function *function = (kt__function *)PyType_GenericAlloc(Py_TYPE(self), 0);
    if (function) {
        function->function = original->function;
        function->plan = Py_NewRef(original->plan);
        function->attributes[0] = Py_NewRef(owner);
        for (int i = 1; i < KT_ATTRIBUTES; i++) {
            function->attributes[i] = Py_XNewRef(original->attributes[i]);
        }
    }
    return (PyObject *)function;
}

static int traverse(PyObject *self, visitproc visit, void *arg)
{
    kt__function *function = (kt__function *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(function->plan);
    for (int i = 0; i < KT_ATTRIBUTES; i++) {
        Py_VISIT(function->attributes[i]);
    }
    return 0;
}

static int clear(PyObject *self)
{
    kt__function *function = (kt__function *)self;
    Py_CLEAR(function->plan);
    for (int i = 0; i < KT_ATTRIBUTES; i++) {
        Py_CLEAR(function->attributes[i]);
    }
    return 0;
}

static void dealloc(PyObject *self)
{
    PyObject_GC_UnTrack(self);
    clear(self);
    kt__free(self);
}

static PyMethodDef methods[] = {
    {"fill", (PyCFunction)(void (*)(void))fill, METH_FASTCALL,
     "fill(memory, args, /)\n--\n\n"
     "Writes a call of this function into memory that begins with a ``kt_call``.\n\n"
     "Returns:\n    An object that must live until the call has ended: it keeps alive and locked what the "
     "arguments point to. None if they point to nothing.\n\n"
     "Raises:\n    as `NativeFunction.bind`."},
    {"with_owner", with_owner, METH_O,
     "with_owner(owner, /)\n--\n\nThe same function, which keeps another object alive."},
    {"call", (PyCFunction)(void (*)(void))call_of, METH_FASTCALL,
     "call(args, type, /)\n--\n\n"
     "Makes a ``kt_call`` of this function.\n\n"
     "Args:\n    type: the type of cffi of the pointer.\n\n"
     "Returns:\n    The object that the call is in, and that keeps what its arguments point to; and the "
     "pointer to "
     "the call.\n\n"
     "Raises:\n    as `NativeFunction.bind`."},
    {"task", (PyCFunction)(void (*)(void))task, METH_FASTCALL,
     "task(args, completions, tag, type, /)\n--\n\n"
     "The same for a ``kt_task``, with the address of its completion queue, and its tag."},
    {"map", (PyCFunction)(void (*)(void))kt__map, METH_FASTCALL,
     "map(arrays, out, /)\n--\n\n"
     "Prepares a map over arrays that are contiguous, of one shape and of the function's own types.\n\n"
     "Returns:\n    The object that the ``kt_map`` is in, its address, and the number of items. None for "
     "other arrays."},
    {"column_of_tuple", (PyCFunction)(void (*)(void))kt__column_of_tuple, METH_FASTCALL,
     "column_of_tuple(number, values, /)\n--\n\nThe values of many calls for one parameter, as a `Held`."},
    {"column_of_buffer", (PyCFunction)(void (*)(void))kt__column_of_buffer, METH_FASTCALL,
     "column_of_buffer(number, values, count, /)\n--\n\n"
     "The same for a buffer of so many numbers or rows. None for a buffer that has to be iterated over."},
    {"column_of_scalar", (PyCFunction)(void (*)(void))kt__column_of_scalar, METH_FASTCALL,
     "column_of_scalar(number, value, /)\n--\n\nThe same for one value, which all calls get."},
    {"column_of_slices", (PyCFunction)(void (*)(void))kt__column_of_slices, METH_FASTCALL,
     "column_of_slices(number, data, begins, itemsize, /)\n--\n\n"
     "The same for pointers into a buffer, at what `slices` has returned."},
    {NULL, NULL, 0, NULL},
};

#define ATTRIBUTE(name, number)                                                                              \
    {name, Py_T_OBJECT_EX, offsetof(kt__function, attributes) + (number) * sizeof(PyObject *), 0, NULL}

static PyMemberDef members[] = {
    {"plan", Py_T_OBJECT_EX, offsetof(kt__function, plan), Py_READONLY, "how its arguments are converted"},
    ATTRIBUTE("owner", 0),
    ATTRIBUTE("address", 1),
    ATTRIBUTE("library", 2),
    ATTRIBUTE("name", 3),
    ATTRIBUTE("parsed", 4),
    ATTRIBUTE("spares", 5),
    ATTRIBUTE("_unpickle", 6),
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Function(address, plan)\n--\n\nA function in C that Python can call."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, init},
    {Py_tp_call, call},
    {Py_tp_methods, methods},
    {Py_tp_members, members},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_dealloc, dealloc},
    {0, NULL},
};

PyType_Spec kt__function_spec = {
    .name = "kthreads._call.Function",
    .basicsize = sizeof(kt__function),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
