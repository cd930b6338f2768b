/* Calls of Python callables from the engine's threads, and of the engine from Python's finalizers. */
#include <Python.h>

#include <errno.h>
#include <kthreads/kthreads.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "python/interpreter.h"

/* A symbol that identifies this library among the loaded ones, whose file names may be alike. */
extern const char kthreads_native[];
__attribute__((visibility("default"))) const char kthreads_native[] = "kthreads";

/* Drops the result of a callable, or reports its exception. */
static void discard_result(PyObject *result, PyObject *callable)
{
    if (result) {
        Py_DECREF(result);
    } else {
        PyErr_WriteUnraisable(callable);
    }
}

/* Takes the current exception and clears it. Returns a new reference. */
static PyObject *take_raised(void)
{
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
}

/* Calls a Python callable and drops its result. The owner of the callable may drop its reference as soon as
 * the call has had its effect. */
static void call_and_drop(PyObject *callable)
{
    Py_INCREF(callable);
    discard_result(PyObject_CallNoArgs(callable), callable);
    Py_DECREF(callable);
}

void kt_python_task(void *callable, kt_interpreter *interpreter)
{
    if (kt__can_enter(interpreter)) {
        kt__keep_state(interpreter);
        struct kt__entry entry = kt__enter(interpreter);
        call_and_drop(callable);
        kt__leave(entry);
    }
}

int32_t kt_python_initializer(void *callable, kt_interpreter *interpreter)
{
    if (!kt__can_enter(interpreter)) {
        return 0;
    }
    kt__keep_state(interpreter);
    struct kt__entry entry = kt__enter(interpreter);
    PyObject *result = PyObject_CallNoArgs(callable);
    int32_t failed = !result;
    discard_result(result, callable);
    kt__leave(entry);
    return failed;
}

/* Stores the first exception of a body in its attribute `error`. */
static void keep_first_error(PyObject *body)
{
    PyObject *raised = take_raised();
    PyObject *first = PyObject_GetAttrString(body, "error");
    if (!first || (first == Py_None && PyObject_SetAttrString(body, "error", raised) < 0)) {
        PyErr_WriteUnraisable(body);
    }
    Py_XDECREF(first);
    Py_DECREF(raised);
}

int32_t kt_python_chunk(int64_t begin, int64_t end, void *body, kt_interpreter *interpreter,
                        int32_t is_unsigned)
{
    if (!kt__can_enter(interpreter)) {
        return 1;
    }
    kt__keep_state(interpreter);
    struct kt__entry entry = kt__enter(interpreter);
    PyObject *result =
        PyObject_CallFunction(body, is_unsigned ? "KK" : "LL", (long long)begin, (long long)end);
    int32_t stops = !result;
    if (stops) {
        keep_first_error(body);
    }
    Py_XDECREF(result);
    kt__leave(entry);
    return stops;
}

/* The list to which a signal handler's exception is appended. */
static _Thread_local PyObject *raised_list;

/* Runs the handlers of pending signals. It does so on the main thread only; other threads have none. */
static int handler_raises(void)
{
    struct kt__entry entry = kt__enter(NULL);
    int raises = PyErr_CheckSignals() < 0;
    if (raises) {
        PyObject *raised = take_raised();
        if (PyList_Append(raised_list, raised) < 0) {
            PyErr_Clear();
        }
        Py_DECREF(raised);
    }
    kt__leave(entry);
    return raises;
}

/* A copy of the loop that has failed last on this thread, and the Python body of the loop that runs. */
static _Thread_local kt_loop failed_loop;
static _Thread_local PyObject *running_body;

/* Moves a body's first exception to `raised_list`, if the loop has failed by it. Drops it otherwise: it is
 * not the next run's. */
static void take_error(int rc)
{
    PyObject *body = running_body, *error = PyObject_GetAttrString(body, "error");
    int taken = error && PyObject_SetAttrString(body, "error", Py_None) == 0;
    if (!taken || (error != Py_None && rc == -EIO && PyList_Append(raised_list, error) < 0)) {
        PyErr_Clear();
    }
    Py_XDECREF(error);
}

static void keep_failure(const kt_loop *loop, int rc)
{
    memcpy(&failed_loop, loop, offsetof(kt_loop, phase)); /* without `claimed`, which others look at */
    kt_interpreter *interpreter =
        (kt_interpreter *)(uintptr_t)loop->call.integers[3]; /* of kt_python_chunk */
    if (running_body && kt__can_enter(interpreter)) {
        struct kt__entry entry = kt__enter(interpreter);
        take_error(rc);
        kt__leave(entry);
    }
}

const kt_loop *kt_python_failed_loop(void)
{
    return &failed_loop;
}

int kt_python_run_body(kt_pool *pool, kt_loop *loop, int64_t timeout_ns, void *raised, void *body)
{
    PyObject *outer_list = raised_list, *outer_body = running_body; /* a handler or a chunk may run a loop */
    raised_list = raised;
    running_body = body;
    int rc = kt_pool_run_to_end(pool, loop, timeout_ns, handler_raises, keep_failure);
    raised_list = outer_list;
    running_body = outer_body;
    return rc;
}

int kt_python_run_loop(kt_pool *pool, kt_loop *loop, int64_t timeout_ns, void *raised)
{
    return kt_python_run_body(pool, loop, timeout_ns, raised, NULL);
}

void kt_python_free(kt_thread **place)
{
    kt_thread_free(*place);
}

void kt_python_keep(void *object)
{
    struct kt__entry entry = kt__enter(NULL); /* cffi has released the GIL for this call */
    Py_INCREF((PyObject *)object);
    kt__leave(entry);
}

void kt_python_pool_free(void *keep, kt_pool **place)
{
    (void)keep;
    kt__deadline deadline = kt__deadline_after(1000000000);
    int rc = *place ? -EINTR : 0;
    while (rc == -EINTR) { /* continue after a signal */
        int64_t left = deadline - kt__now();
        rc = kt_pool_quiesce(*place, left > 0 ? left : 0);
    }
    if (rc == 0) {
        kt_pool_free(*place);
    }
}

void kt_python_completions_free(kt_completions **place)
{
    kt_completions_free(*place);
}

/* Runs a forked child's callable, and ends the child. */
static _Noreturn void run_child(PyObject *callable)
{
    PyObject *status = PyObject_CallNoArgs(callable);
    long code = status ? PyLong_AsLong(status) : 1;
    if (PyErr_Occurred()) {
        PyErr_WriteUnraisable(callable);
        code = 1;
    }
    _exit((int)(code & 0xff));
}

int kt_python_fork(kt_process *process, const kt_process_spec *spec, kt_failure *failure, void *callable)
{
    struct kt__entry entry = kt__enter(NULL);
    PyOS_BeforeFork();
    int rc = kt_process_fork(process, spec, failure);
    if (rc == KT_IN_CHILD) {
        PyOS_AfterFork_Child();
        run_child(callable);
    }
    PyOS_AfterFork_Parent();
    kt__leave(entry);
    return rc;
}
