#include <Python.h>

#include <kthreads/kthreads.h>

#include "python.h"

void kt_python_run(void *callable)
{
    if (!Py_IsInitialized()) {
        return; /* a daemon thread that comes first to run when all is over */
    }
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *result = PyObject_CallNoArgs(callable);
    if (result) {
        Py_DECREF(result);
    } else {
        PyErr_WriteUnraisable(callable);
    }
    PyGILState_Release(state); /* frees the thread state, and with it threading.local values */
}

void kt_python_free(kt_thread **place)
{
    kt_thread_free(*place);
}

void kt_python_keep(void *object)
{
    PyGILState_STATE state = PyGILState_Ensure(); /* cffi gave the GIL up for this call */
    Py_INCREF((PyObject *)object);
    PyGILState_Release(state);
}
