/* call/: Python values as the arguments of native functions, and calls from Python. This is an extension
 * module of its own, kthreads._call, and shares no symbol with the engine's: it writes kt_calls, and compiles
 * the engine's typed call into itself.
 *
 * The converters in Python (kthreads/functions) decide what a value means and which exception a bad one
 * raises. C converts the usual values. It gives all others to the converters, and remembers the types and
 * formats of buffers that they have accepted. */
#ifndef KT_CALL_H
#define KT_CALL_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <kthreads/kthreads.h>

#include <stdatomic.h>
#include <stdbool.h>

#if PY_VERSION_HEX < 0x030c0000
#include <structmember.h>
#define Py_T_OBJECT_EX T_OBJECT_EX
#define Py_T_LONGLONG  T_LONGLONG
#define Py_T_ULONGLONG T_ULONGLONG
#define Py_T_INT       T_INT
#define Py_READONLY    READONLY
#endif

enum {
    KT_WORDS = KT_INTEGER_ARGUMENTS + KT_FLOAT_ARGUMENTS, /* of a kt_call: the integers, then the floats */
    KT_SEEN = 16                                          /* kinds of buffers that a parameter remembers */
};

struct kt__module {
    PyTypeObject *held, *plan, *function;
    PyObject *plain_types; /* a dict: for each type of plain buffers, an enum kt__check; Python fills it */
    PyObject *convert, *refuse_count, *dtype, *obj; /* names */
    /* Makes a value of a pointer type of cffi: one of the functions that modules made by cffi call. */
    PyObject *(*make_pointer)(void *address, PyObject *type);
};

enum kt__kind { KT_INTEGER, KT_BOOL, KT_CHAR, KT_FLOAT, KT_DOUBLE, KT_POINTER, KT_VOID };

/* What a pointer takes. Python works it out (PointerConverter.flags). */
enum {
    KT_TAKES_READ_ONLY = 1, /* buffers that must not be written to */
    KT_TAKES_BYTES = 2,
    KT_TAKES_TEXT = 4,
    KT_TAKES_ADDRESS = 8
};

/* How a buffer of a plain type shows what its items are. */
enum kt__check {
    KT_CHECK_TYPE = 1, /* all buffers of this type are alike */
    KT_CHECK_DTYPE,    /* by the identity of its attribute `dtype` */
    KT_CHECK_FORMAT    /* by its format and the size of an item */
};

/* A kind of buffers that the converters in Python have accepted for a parameter. */
struct kt__seen {
    PyObject *type, *dtype; /* dtype: NULL unless it is to be compared */
    enum kt__check check;
    Py_ssize_t itemsize;
    char format[4];
};

/* Entries are added, and never changed. A reader sees those below `count`. */
struct kt__memory {
    _Atomic int count;
    atomic_flag is_learning;
    struct kt__seen seen[KT_SEEN];
};

struct kt__parameter {
    enum kt__kind kind;
    int size;                  /* in bytes */
    int flags;                 /* of a pointer */
    int word;                  /* which one of a call; KT_WORDS and above are in `more` */
    int64_t low;               /* of an integer */
    uint64_t high;             /* of an integer */
    struct kt__memory *memory; /* of a pointer */
};

/* What the arguments of a call point into: alive, and locked, until the release. */
struct kt__keep {
    PyObject *list;   /* what the converters in Python keep; NULL for nothing */
    Py_buffer *views; /* NULL until the first one, if they are allocated when they are needed */
    Py_ssize_t count, room;
};

/* A signature, compiled. */
typedef struct {
    PyObject_HEAD struct kt__module *module;
    PyObject *pointer_type; /* of cffi; of a result that is a pointer */
    struct kt__parameter result;
    int result_kind; /* enum kt_result_kind */
    Py_ssize_t count, pointers;
    uint32_t more_count, more_floats; /* as in a kt_call */
    struct kt__parameter *parameters;
} kt__plan;

enum { KT_ATTRIBUTES = 7 };

typedef struct {
    PyObject_HEAD PyObject *plan; /* NULL in a function that was not found: reading the attribute raises */
    PyObject *attributes[KT_ATTRIBUTES]; /* of NativeFunction; the owner is the first */
    kt_function function;
} kt__function;

/* What a call points into, as an object. For a column of arguments also its words. */
typedef struct {
    PyObject_VAR_HEAD PyObject *args;
    struct kt__keep keep;
    uint64_t *more; /* of a call: the words for which it has no room */
    void *memory;   /* of a call or a task: where it is */
    uint64_t *words;
    const void *items; /* of a column: the first one */
    int64_t stride;    /* of a column: from one item to the next, in bytes */
    int item;          /* of a column: enum kt_item */
    Py_buffer views[];
} kt__held;

/* The state of the module that a type, or one of its bases, belongs to. */
struct kt__module *kt__module_of(PyTypeObject *type);

/* These two return 1 with the word; 0 when the converters in Python shall say what the value means; -1 with
 * an exception. */
int kt__number(const struct kt__parameter *parameter, PyObject *value, uint64_t *word);
int kt__pointer(const kt__plan *plan, const struct kt__parameter *parameter, PyObject *value,
                struct kt__keep *keep, uint64_t *word);

static inline bool kt__is_float(const struct kt__parameter *parameter)
{
    return parameter->kind == KT_FLOAT || parameter->kind == KT_DOUBLE;
}

/* The word of an integer that is in the range of its parameter. */
static inline uint64_t kt__extended(const struct kt__parameter *parameter, uint64_t value)
{
    return parameter->size == 4 ? (uint32_t)value : value; /* functions read no more than 32 bits of an int */
}

/* The word of a float or a double. */
uint64_t kt__floating(const struct kt__parameter *parameter, double number);

/* The word of what a converter in Python has returned. Returns -1 with an exception. */
int kt__store(const struct kt__parameter *parameter, PyObject *number, uint64_t *word);

/* How buffers of a type show what their items are, an enum kt__check; 0 if the type is not plain. */
int kt__check_of_type(const struct kt__module *module, PyTypeObject *type);

/* Adds a view of a buffer that is as those seen before. As kt__number. */
int kt__known_buffer(const struct kt__module *module, const struct kt__parameter *parameter, PyObject *value,
                     struct kt__keep *keep, uint64_t *word);

/* Remembers the kind of a buffer that the converters in Python have accepted. */
void kt__learn(const struct kt__module *module, struct kt__parameter *parameter, PyObject *value);

/* The Python value of a result. */
PyObject *kt__read(const kt__plan *plan, uint64_t bits);

/* The plan of a function. Returns NULL with the exception that says why the function was not found. */
kt__plan *kt__plan_of(PyObject *function);

/* Converts one argument, in the given row of a column, or -1. Returns -1 with an exception. */
int kt__convert(PyObject *function, kt__plan *plan, Py_ssize_t number, Py_ssize_t row, PyObject *value,
                struct kt__keep *keep, uint64_t *word);

/* Converts all arguments into a call. Those for which it has no room go into `more`. Returns -1 with an
 * exception. */
int kt__convert_all(PyObject *function, kt__plan *plan, PyObject *args, struct kt__keep *keep, uint64_t *more,
                    kt_call *call);

/* Releases what was kept. Whatever runs meanwhile finds only what is still to be released. */
void kt__release(struct kt__keep *keep);

/* The end of a tp_dealloc: gives the memory of an object of one of these types back. */
static inline void kt__free(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* An object with room for so many views of buffers within it. */
kt__held *kt__held_new(struct kt__module *module, PyObject *args, Py_ssize_t room);

/* The same for a call: with room for its words beyond the registers, and for `size` bytes after them. Stores
 * where these are. */
kt__held *kt__hold(const kt__plan *plan, PyObject *args, Py_ssize_t room, size_t size, void **after);

/* The methods of Function that make maps and columns. */
PyObject *kt__map(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *kt__column_of_tuple(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *kt__column_of_buffer(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *kt__column_of_scalar(PyObject *self, PyObject *const *args, Py_ssize_t count);
PyObject *kt__column_of_slices(PyObject *self, PyObject *const *args, Py_ssize_t count);

/* The functions of the module. */
PyObject *kt__slices(PyObject *module, PyObject *args);
PyObject *kt__queue_task(PyObject *module, PyObject *const *args, Py_ssize_t count);

extern PyType_Spec kt__held_spec, kt__plan_spec, kt__function_spec;

#endif
