#include <Python.h>

#include <dlfcn.h>
#include <errno.h>
#include <kthreads/kthreads.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "python/python.h"

/* A symbol that identifies this library among the loaded ones, whose file names may be alike. */
extern const char kthreads_native[];
__attribute__((visibility("default"))) const char kthreads_native[] = "kthreads";

/* The thread state of a pool's thread. It is kept from the thread's first Python call to its end, and with it
 * threading.local values. NULL on all other threads. */
static _Thread_local PyThreadState *kept_state;

static atomic_int ending;

/* A thread that enters Python for the first time makes its thread state without the GIL, under the lock of
 * CPython's list of interpreters. CPython 3.11 forks without that lock, and takes it in the child before it
 * reinitialises it: a child that is forked while another thread holds the lock hangs. So with 3.11 a thread
 * state is made under `state_lock`, which a fork takes first. Later versions hold the lock of the list
 * through a fork, or reinitialise it first. Deleting a thread state takes that lock, too, but with the GIL
 * held, and Python forks only with the GIL.
 *
 * The order of locks: a thread that holds `state_lock` takes locks of CPython and malloc, and may wait for
 * the GIL, as tracemalloc takes it for each allocation. So a thread must not hold the GIL while it waits for
 * `state_lock`, not even in the middle of a fork. It takes the GIL back while it holds `state_lock`, as no
 * thread that holds the GIL waits for `state_lock`. None of the engine's locks is taken under `state_lock`,
 * and none is held when a fork takes `state_lock`: handlers run in the reverse order of their registration,
 * and the engine registers its own first (base/fork.c). */
static pthread_mutex_t state_lock = PTHREAD_MUTEX_INITIALIZER;

/* The main interpreter, as for PyGILState_Ensure; NULL where no lock is needed. */
static PyInterpreterState *locked_interpreter;

/* _PyThreadState_UncheckedGet, which the limited API lacks: returns the thread state that holds the GIL, or
 * NULL. */
static PyThreadState *(*current_state)(void);

static void before_fork(void)
{
    if (pthread_mutex_trylock(&state_lock) == 0) {
        return;
    }
    PyThreadState *own = PyGILState_GetThisThreadState();
    PyThreadState *held = own && own == current_state() ? PyEval_SaveThread() : NULL;
    pthread_mutex_lock(&state_lock);
    if (held) {
        PyEval_RestoreThread(held);
    }
}

static void after_fork(void)
{
    pthread_mutex_unlock(&state_lock);
}

/* Runs when a thread of the interpreter loads the library. */
static __attribute__((constructor)) void register_fork_handlers(void)
{
    PyThreadState *state = Py_IsInitialized() ? PyGILState_GetThisThreadState() : NULL;
    PyInterpreterState *loader = state ? PyThreadState_GetInterpreter(state) : NULL;
    if (Py_Version >> 16 != 0x030b || !loader || PyInterpreterState_GetID(loader) != 0) {
        return;
    }
    *(void **)&current_state = dlsym(RTLD_DEFAULT, "_PyThreadState_UncheckedGet");
    if (current_state && pthread_atfork(before_fork, after_fork, after_fork) == 0) {
        locked_interpreter = loader;
    }
}

/* Makes a thread state where that needs the lock. Returns whether it has made one, which PyGILState_Ensure
 * then finds. */
static int make_state(void)
{
    if (!locked_interpreter || PyGILState_GetThisThreadState()) {
        return 0;
    }
    pthread_mutex_lock(&state_lock);
    PyThreadState *state = PyThreadState_New(locked_interpreter);
    pthread_mutex_unlock(&state_lock);
    return state != NULL;
}

/* As PyGILState_Ensure and PyGILState_Release, except for how a thread state is made. */
struct entry {
    int made;
    PyGILState_STATE state;
};

static struct entry enter(void)
{
    struct entry entry = {.made = make_state()};
    entry.state = PyGILState_Ensure();
    return entry;
}

static void leave(struct entry entry)
{
    if (entry.made) {
        /* A new state has one use from the start: without this it would never be deleted. */
        PyGILState_Release(PyGILState_LOCKED);
    }
    PyGILState_Release(entry.state);
}

static int can_enter(void)
{
    return Py_IsInitialized() && !atomic_load(&ending);
}

static void keep_thread_state(void)
{
    if (kept_state || PyGILState_GetThisThreadState()) {
        return;
    }
    if (make_state()) {
        kept_state = PyGILState_GetThisThreadState();
    } else {
        PyGILState_Ensure();
        kept_state = PyEval_SaveThread();
    }
}

void kt_python_leave(void)
{
    if (kept_state && can_enter()) {
        PyEval_RestoreThread(kept_state);
        PyGILState_Release(PyGILState_UNLOCKED);
    }
    kept_state = NULL;
}

void kt_python_end(void)
{
    atomic_store(&ending, 1);
}

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

void kt_python_run(void *callable)
{
    if (!Py_IsInitialized()) {
        return; /* a daemon thread that first runs after the interpreter's end */
    }
    struct entry entry = enter();
    /* The owner may drop its reference as soon as the call has had its effect. */
    Py_INCREF((PyObject *)callable);
    discard_result(PyObject_CallNoArgs(callable), callable);
    Py_DECREF((PyObject *)callable);
    leave(entry); /* deletes the thread state, unless it is kept */
}

void kt_python_task(void *callable)
{
    if (can_enter()) {
        keep_thread_state();
        kt_python_run(callable);
    }
}

int32_t kt_python_initializer(void *callable)
{
    if (!can_enter()) {
        return 0;
    }
    keep_thread_state();
    struct entry entry = enter();
    PyObject *result = PyObject_CallNoArgs(callable);
    int32_t failed = !result;
    discard_result(result, callable);
    leave(entry);
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

int32_t kt_python_chunk(int64_t begin, int64_t end, void *body)
{
    if (!can_enter()) {
        return 1;
    }
    keep_thread_state();
    struct entry entry = enter();
    PyObject *result = PyObject_CallFunction(body, "LL", (long long)begin, (long long)end);
    int32_t stops = !result;
    if (stops) {
        keep_first_error(body);
    }
    Py_XDECREF(result);
    leave(entry);
    return stops;
}

/* The list to which a signal handler's exception is appended. */
static _Thread_local PyObject *raised_list;

/* Runs the handlers of pending signals. It does so on the main thread only; other threads have none. */
static int handler_raises(void)
{
    struct entry entry = enter();
    int raises = PyErr_CheckSignals() < 0;
    if (raises) {
        PyObject *raised = take_raised();
        if (PyList_Append(raised_list, raised) < 0) {
            PyErr_Clear();
        }
        Py_DECREF(raised);
    }
    leave(entry);
    return raises;
}

int kt_python_run_loop(kt_pool *pool, kt_loop *loop, int64_t timeout_ns, void *raised)
{
    PyObject *outer = raised_list; /* a handler or a chunk may run a loop, too */
    raised_list = raised;
    int rc = kt_pool_run_to_end(pool, loop, timeout_ns, handler_raises);
    raised_list = outer;
    return rc;
}

void kt_python_free(kt_thread **place)
{
    kt_thread_free(*place);
}

void kt_python_keep(void *object)
{
    struct entry entry = enter(); /* cffi has released the GIL for this call */
    Py_INCREF((PyObject *)object);
    leave(entry);
}

void kt_python_pool_free(void *keep, kt_pool **place)
{
    (void)keep;
    int rc = *place ? -EINTR : 0;
    while (rc == -EINTR) { /* continue after a signal */
        rc = kt_pool_quiesce(*place, 1000000000);
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
    struct entry entry = enter();
    PyOS_BeforeFork();
    int rc = kt_process_fork(process, spec, failure);
    if (rc == KT_IN_CHILD) {
        PyOS_AfterFork_Child();
        run_child(callable);
    }
    PyOS_AfterFork_Parent();
    leave(entry);
    return rc;
}
