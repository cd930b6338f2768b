/* Plans: signatures, compiled to what the conversion of arguments reads. */
#include "call/call.h"

#include <string.h>

static const struct {
    char code;
    enum kt__kind kind;
    int size, is_signed;
} codes[] = {
    {'b', KT_INTEGER, 1, 1}, {'B', KT_INTEGER, 1, 0}, {'h', KT_INTEGER, 2, 1}, {'H', KT_INTEGER, 2, 0},
    {'i', KT_INTEGER, 4, 1}, {'I', KT_INTEGER, 4, 0}, {'q', KT_INTEGER, 8, 1}, {'Q', KT_INTEGER, 8, 0},
    {'?', KT_BOOL, 1, 0},    {'c', KT_CHAR, 1, 1},    {'C', KT_CHAR, 1, 0},    {'f', KT_FLOAT, 4, 1},
    {'d', KT_DOUBLE, 8, 1},  {'P', KT_POINTER, 8, 0}, {'v', KT_VOID, 0, 0},
};

/* Returns -1 for a code that there is not. */
static int compile_type(struct kt__parameter *parameter, Py_UCS4 code)
{
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        if ((Py_UCS4)codes[i].code == code) {
            int unused = 64 - 8 * codes[i].size + codes[i].is_signed;
            parameter->kind = codes[i].kind;
            parameter->size = codes[i].size;
            parameter->high = parameter->kind == KT_BOOL ? 1 : unused < 64 ? UINT64_MAX >> unused : 0;
            parameter->low = codes[i].is_signed ? -(int64_t)parameter->high - 1 : 0;
            return 0;
        }
    }
    PyErr_Format(PyExc_ValueError, "there is no type with the code %c", (int)code);
    return -1;
}

/* Where the words of integers, or of floats, are. */
struct registers {
    int next, end;
};

/* The word of a parameter: in a register of its kind, or else after all of them. */
static int word_of(kt__plan *plan, struct registers *registers, bool is_float)
{
    if (registers->next < registers->end) {
        return registers->next++;
    }
    plan->more_floats |= (uint32_t)is_float << plan->more_count;
    return KT_WORDS + (int)plan->more_count++;
}

static int compile_parameters(kt__plan *plan, PyObject *text, const char *flags)
{
    struct registers integers = {0, KT_INTEGER_ARGUMENTS}, floats = {KT_INTEGER_ARGUMENTS, KT_WORDS};
    for (Py_ssize_t i = 0; i < plan->count; i++) {
        struct kt__parameter *parameter = &plan->parameters[i];
        if (compile_type(parameter, PyUnicode_ReadChar(text, i)) < 0) {
            return -1;
        }
        bool is_float = kt__is_float(parameter);
        parameter->word = word_of(plan, is_float ? &floats : &integers, is_float);
        parameter->flags = flags[i];
        if (parameter->kind == KT_POINTER) {
            plan->pointers++;
            if (!(parameter->memory = PyMem_Calloc(1, sizeof *parameter->memory))) {
                PyErr_NoMemory();
                return -1;
            }
        }
    }
    return 0;
}

static int compile_result(kt__plan *plan, int code)
{
    if (compile_type(&plan->result, (Py_UCS4)code) < 0) {
        return -1;
    }
    plan->result_kind = plan->result.kind == KT_VOID  ? KT_RESULT_NONE
                        : kt__is_float(&plan->result) ? KT_RESULT_FLOAT
                                                      : KT_RESULT_INTEGER;
    return 0;
}

static int init(PyObject *self, PyObject *args, PyObject *kwargs)
{
    kt__plan *plan = (kt__plan *)self;
    PyObject *text, *pointer_type;
    const char *flags;
    Py_ssize_t size;
    int result;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "Uy#CO", &text, &flags, &size, &result, &pointer_type)) {
        return -1;
    }
    if (plan->parameters || size != PyUnicode_GetLength(text) || size > KT_ARGUMENTS) {
        PyErr_SetString(PyExc_ValueError,
                        "a plan is made once, with a flag for each of 32 parameters at most");
        return -1;
    }
    plan->parameters = PyMem_Calloc((size_t)size + 1, sizeof plan->parameters[0]);
    if (!plan->parameters) {
        PyErr_NoMemory();
        return -1;
    }
    plan->module = kt__module_of(Py_TYPE(self));
    plan->pointer_type = Py_NewRef(pointer_type);
    plan->count = size;
    return compile_result(plan, result) < 0 ? -1 : compile_parameters(plan, text, flags);
}

/* Lets the function's method `convert` find out what a value means. */
static int convert_strictly(PyObject *function, kt__plan *plan, Py_ssize_t number, Py_ssize_t row,
                            PyObject *value, struct kt__keep *keep, uint64_t *word)
{
    struct kt__parameter *parameter = &plan->parameters[number];
    if (!keep->list && !(keep->list = PyList_New(0))) {
        return -1;
    }
    PyObject *index = PyLong_FromSsize_t(number), *in_row = row < 0 ? NULL : PyLong_FromSsize_t(row),
             *strict = NULL;
    if (index && (in_row || row < 0)) {
        strict = PyObject_CallMethodObjArgs(function, plan->module->convert, index, value, keep->list, in_row,
                                            NULL);
    }
    Py_XDECREF(index);
    Py_XDECREF(in_row);
    int stored = strict ? kt__store(parameter, strict, word) : -1;
    Py_XDECREF(strict);
    if (stored == 0) {
        kt__learn(plan->module, parameter, value);
    }
    return stored;
}

int kt__convert(PyObject *function, kt__plan *plan, Py_ssize_t number, Py_ssize_t row, PyObject *value,
                struct kt__keep *keep, uint64_t *word)
{
    const struct kt__parameter *parameter = &plan->parameters[number];
    int found = parameter->kind == KT_POINTER ? kt__pointer(plan, parameter, value, keep, word)
                                              : kt__number(parameter, value, word);
    return found == 0 ? convert_strictly(function, plan, number, row, value, keep, word) : found < 0 ? -1 : 0;
}

static int refuse_count(PyObject *function, const kt__plan *plan, Py_ssize_t count)
{
    PyObject *given = PyLong_FromSsize_t(count);
    PyObject *nothing =
        given ? PyObject_CallMethodObjArgs(function, plan->module->refuse_count, given, NULL) : NULL;
    Py_XDECREF(given);
    Py_XDECREF(nothing);
    return -1;
}

static uint64_t *at(kt_call *call, uint64_t *more, int word)
{
    return word < KT_INTEGER_ARGUMENTS ? &call->integers[word]
           : word < KT_WORDS           ? &call->floats[word - KT_INTEGER_ARGUMENTS]
                                       : &more[word - KT_WORDS];
}

int kt__convert_all(PyObject *function, kt__plan *plan, PyObject *args, struct kt__keep *keep, uint64_t *more,
                    kt_call *call)
{
    Py_ssize_t count = PyTuple_Size(args);
    if (count != plan->count) {
        return refuse_count(function, plan, count);
    }
    *call = (kt_call){.function = ((kt__function *)function)->function,
                      .kind = plan->result_kind,
                      .more = more,
                      .more_count = plan->more_count,
                      .more_floats = plan->more_floats};
    for (Py_ssize_t i = 0; i < count; i++) {
        uint64_t *word = at(call, more, plan->parameters[i].word);
        if (kt__convert(function, plan, i, -1, PyTuple_GetItem(args, i), keep, word) < 0) {
            return -1;
        }
    }
    return 0;
}

static PyObject *read_result(PyObject *self, PyObject *bits)
{
    unsigned long long word = PyLong_AsUnsignedLongLongMask(bits);
    return word == (unsigned long long)-1 && PyErr_Occurred() ? NULL : kt__read((kt__plan *)self, word);
}

static int traverse(PyObject *self, visitproc visit, void *arg)
{
    kt__plan *plan = (kt__plan *)self;
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(plan->pointer_type);
    for (Py_ssize_t i = 0; plan->parameters && i < plan->count; i++) {
        const struct kt__memory *memory = plan->parameters[i].memory;
        for (int k = 0; memory && k < memory->count; k++) {
            Py_VISIT(memory->seen[k].type);
            Py_VISIT(memory->seen[k].dtype);
        }
    }
    return 0;
}

static int clear(PyObject *self)
{
    kt__plan *plan = (kt__plan *)self;
    Py_CLEAR(plan->pointer_type);
    for (Py_ssize_t i = 0; plan->parameters && i < plan->count; i++) {
        struct kt__memory *memory = plan->parameters[i].memory;
        while (memory && memory->count > 0) {
            int last = --memory->count;
            Py_CLEAR(memory->seen[last].type);
            Py_CLEAR(memory->seen[last].dtype);
        }
    }
    return 0;
}

static void dealloc(PyObject *self)
{
    kt__plan *plan = (kt__plan *)self;
    PyObject_GC_UnTrack(self);
    clear(self);
    for (Py_ssize_t i = 0; plan->parameters && i < plan->count; i++) {
        PyMem_Free(plan->parameters[i].memory);
    }
    PyMem_Free(plan->parameters);
    kt__free(self);
}

static PyMethodDef methods[] = {
    {"read", read_result, METH_O, "The Python value of a result, from the 64 bits of the return register."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot slots[] = {
    {Py_tp_doc, "Plan(codes, flags, result, pointer_type)\n--\n\nA signature, compiled."},
    {Py_tp_new, PyType_GenericNew},
    {Py_tp_init, init},
    {Py_tp_methods, methods},
    {Py_tp_traverse, traverse},
    {Py_tp_clear, clear},
    {Py_tp_dealloc, dealloc},
    {0, NULL},
};

PyType_Spec kt__plan_spec = {
    .name = "kthreads._call.Plan",
    .basicsize = sizeof(kt__plan),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = slots,
};
