/* Interpreters that use this library, and the thread states of threads that enter them. */
#ifndef KT_INTERPRETER_H
#define KT_INTERPRETER_H

#include <Python.h>
#include <kthreads/kthreads.h>

#include "base/futex.h"
#include "python/python.h" /* it has no guard, as cffi reads it: no other file includes it */

/* It is never freed: a thread may read it after the interpreter's end. */
struct kt_interpreter {
    PyInterpreterState *state;
    atomic_int ending;
    kt__word threads; /* those of kt_python_start, other than daemons, that have not left the interpreter */
};

/* Whether a thread of a pool may enter the interpreter: not once its end has begun. */
int kt__can_enter(kt_interpreter *interpreter);

/* Makes a thread state for the calling thread, which holds no GIL. Returns NULL without memory. */
PyThreadState *kt__new_state(const kt_interpreter *interpreter);

/* Deletes the current thread state and releases the GIL. */
void kt__delete_state(PyThreadState *state);

/* Makes a thread state for a thread of a pool that has none, which it keeps until kt_python_leave. */
void kt__keep_state(kt_interpreter *interpreter);

struct kt__entry {
    PyThreadState *made;
    PyGILState_STATE state;
};

/* As PyGILState_Ensure and PyGILState_Release, in an interpreter; NULL for that of the thread's own state. */
struct kt__entry kt__enter(const kt_interpreter *interpreter);
void kt__leave(struct kt__entry entry);

#endif
