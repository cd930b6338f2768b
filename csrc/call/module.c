/* The module kthreads._call. */
#include "call/call.h"

#include <string.h>

struct kt__module *kt__module_of(PyTypeObject *type)
{
    PyObject *module;
    while (!(module = PyType_GetModule(type))) { /* of a class in Python */
        PyErr_Clear();
        type = (PyTypeObject *)PyType_GetSlot(type, Py_tp_base);
    }
    return PyModule_GetState(module);
}

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    if (type && PyModule_AddType(module, type) < 0) {
        Py_CLEAR(type);
    }
    return type;
}

static int add_constants(PyObject *module)
{
    return PyModule_AddIntMacro(module, KT_TAKES_READ_ONLY) < 0 ||
                   PyModule_AddIntMacro(module, KT_TAKES_BYTES) < 0 ||
                   PyModule_AddIntMacro(module, KT_TAKES_TEXT) < 0 ||
                   PyModule_AddIntMacro(module, KT_TAKES_ADDRESS) < 0 ||
                   PyModule_AddIntMacro(module, KT_CHECK_TYPE) < 0 ||
                   PyModule_AddIntMacro(module, KT_CHECK_DTYPE) < 0 ||
                   PyModule_AddIntMacro(module, KT_CHECK_FORMAT) < 0
               ? -1
               : 0;
}

/* The table of functions that modules made by cffi call. It is part of their binary interface: entries stay
 * where they are (_cffi_include.h). */
static int find_cffi(struct kt__module *state)
{
    enum { FROM_C_POINTER = 10 };
    PyObject *backend = PyImport_ImportModule("_cffi_backend");
    PyObject *capsule = backend ? PyObject_GetAttrString(backend, "_C_API") : NULL;
    void **table = capsule ? PyCapsule_GetPointer(capsule, "cffi") : NULL;
    if (table) {
        memcpy(&state->make_pointer, &table[FROM_C_POINTER], sizeof state->make_pointer);
    }
    Py_XDECREF(capsule);
    Py_XDECREF(backend);
    return table ? 0 : -1;
}

static int execute(PyObject *module)
{
    struct kt__module *state = PyModule_GetState(module);
    state->convert = PyUnicode_InternFromString("convert");
    state->refuse_count = PyUnicode_InternFromString("refuse_count");
    state->dtype = PyUnicode_InternFromString("dtype");
    state->obj = PyUnicode_InternFromString("obj");
    state->plain_types = PyDict_New();
    if (!state->convert || !state->refuse_count || !state->dtype || !state->obj || !state->plain_types ||
        PyModule_AddObjectRef(module, "plain_types", state->plain_types) < 0 || add_constants(module) < 0 ||
        find_cffi(state) < 0) {
        return -1;
    }
    return (state->held = add_type(module, &kt__held_spec)) &&
                   (state->plan = add_type(module, &kt__plan_spec)) &&
                   (state->function = add_type(module, &kt__function_spec))
               ? 0
               : -1;
}

static int traverse(PyObject *module, visitproc visit, void *arg)
{
    struct kt__module *state = PyModule_GetState(module);
    Py_VISIT(state->held);
    Py_VISIT(state->plan);
    Py_VISIT(state->function);
    Py_VISIT(state->plain_types);
    return 0;
}

static int clear(PyObject *module)
{
    struct kt__module *state = PyModule_GetState(module);
    Py_CLEAR(state->held);
    Py_CLEAR(state->plan);
    Py_CLEAR(state->function);
    Py_CLEAR(state->plain_types);
    Py_CLEAR(state->convert);
    Py_CLEAR(state->refuse_count);
    Py_CLEAR(state->dtype);
    Py_CLEAR(state->obj);
    return 0;
}

static void free_module(void *module)
{
    clear(module);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, execute},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyMethodDef methods[] = {
    {"slices", kt__slices, METH_VARARGS,
     "slices(offsets, limit, /)\n--\n\n"
     "Where slices begin, and their lengths: bytes of 64-bit integers.\n\n"
     "Raises:\n    TypeError: offsets are no integers.\n    ValueError: a slice is not within 0 and the "
     "limit."},
    {"queue_task", (PyCFunction)(void (*)(void))kt__queue_task, METH_FASTCALL,
     "queue_task(submit, pool, held, pending, tag, future, /)\n--\n\n"
     "Enters a future into a dict, and queues its task if there is room.\n\n"
     "Args:\n    submit, pool: the addresses of the engine's function and of the pool.\n"
     "    held: what the task is in.\n    pending, tag: the dict, and the key.\n\n"
     "Returns:\n    Whether the task is queued. If it is not, the future is not in the dict."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "kthreads._call",
    .m_doc = "Python values as the arguments of native functions.",
    .m_size = sizeof(struct kt__module),
    .m_methods = methods,
    .m_slots = slots,
    .m_traverse = traverse,
    .m_clear = clear,
    .m_free = free_module,
};

PyMODINIT_FUNC PyInit__call(void);

PyMODINIT_FUNC PyInit__call(void)
{
    return PyModuleDef_Init(&definition);
}
