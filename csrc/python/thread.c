/* Threads that run a Python callable. */
#include <Python.h>

#include <errno.h>
#include <kthreads/kthreads.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>

#include "python/interpreter.h"

/* The values of `begun`. */
enum { NOT_YET, AWAITED, BEGUN, NO_STATE };

static void announce(kt_python_call *call, uint32_t what)
{
    kt__word *begun = (kt__word *)&call->begun;
    if (atomic_exchange(begun, what) == AWAITED) {
        kt__futex_wake(begun, INT_MAX, KT_FUTEX_PRIVATE);
    }
}

void kt_python_announce(kt_python_call *call)
{
    announce(call, BEGUN);
}

/* The thread has left the interpreter, or does not enter it. */
static void count_out(void *interpreter)
{
    kt_interpreter *left = interpreter;
    if (left && atomic_fetch_sub(&left->threads, 1) == 1) {
        kt__futex_wake(&left->threads, INT_MAX, KT_FUTEX_PRIVATE);
    }
}

static kt_interpreter *counted(const kt_python_call *call)
{
    return call->daemon ? NULL : call->interpreter;
}

/* Runs the callable with the GIL. The owner may free `call` once the callable has begun. */
static void run(PyThreadState *state, kt_python_call *call)
{
    PyObject *callable = call->callable;
    PyEval_RestoreThread(state);
    Py_INCREF(callable);
#ifndef Py_GIL_DISABLED
    /* This thread holds the GIL from here to the callable's first frame or beyond: when the starter gets the
     * GIL the frame is there to be seen. Without a GIL the callable announces itself. */
    announce(call, BEGUN);
#endif
    PyObject *result = PyObject_CallNoArgs(callable);
    if (!result) {
        PyErr_WriteUnraisable(callable);
    }
    Py_XDECREF(result);
    Py_DECREF(callable);
    kt__delete_state(state);
}

static void run_python(kt_python_call *call)
{
    /* The interpreter may have ended, if the starter is a daemon thread. */
    PyThreadState *state = Py_IsInitialized() ? kt__new_state(call->interpreter) : NULL;
    if (!state) {
        announce(call, NO_STATE); /* the starter counts it out */
        return;
    }
    pthread_cleanup_push(count_out, counted(call)); /* also after pthread_exit */
    run(state, call);
    pthread_cleanup_pop(1);
}

int kt_python_start(kt_thread **place, const kt_spec *spec, kt_python_call *call)
{
    call->call.function = (kt_function)run_python;
    call->call.integers[0] = (uintptr_t)call;
    call->begun = NOT_YET;
    if (counted(call)) {
        atomic_fetch_add(&call->interpreter->threads, 1);
    }
    int rc = kt_thread_start(place, spec, &call->call);
    if (rc < 0) {
        count_out(counted(call));
        return rc;
    }
    /* Where the two threads share a CPU, a short callable has ended when this returns: the starter needs no
     * wake-up, and finds the GIL free. Otherwise it returns at once. */
    sched_yield();
    return kt_python_await_begin(place, call);
}

/* Frees a thread that could not enter the interpreter. */
static int discard(kt_thread **place, kt_python_call *call)
{
    while (kt_thread_wait(*place, -1, NULL) == -EINTR) {
    }
    kt_thread_free(*place);
    *place = NULL;
    count_out(counted(call));
    return -ENOMEM;
}

int kt_python_await_begin(kt_thread **place, kt_python_call *call)
{
    kt__word *begun = (kt__word *)&call->begun;
    uint32_t state = NOT_YET;
    int rc = 0;
    /* The exchange fails with the present value. */
    while (rc == 0 && (atomic_compare_exchange_strong(begun, &state, AWAITED) || state == AWAITED)) {
        rc = kt__futex_wait(begun, AWAITED, KT_FUTEX_PRIVATE, -1);
        state = NOT_YET;
    }
    return atomic_load(begun) == NO_STATE ? discard(place, call) : rc;
}

int kt_python_await_threads(kt_interpreter *interpreter, int64_t timeout_ns)
{
    kt__deadline deadline = kt__deadline_after(timeout_ns);
    uint32_t left;
    int rc = 0;
    while (rc == 0 && (int32_t)(left = atomic_load(&interpreter->threads)) > 0) {
        rc = kt__futex_wait(&interpreter->threads, left, KT_FUTEX_PRIVATE, deadline);
    }
    return rc;
}

void kt_python_forget_threads(kt_interpreter *interpreter)
{
    atomic_store(&interpreter->threads, 0);
}
