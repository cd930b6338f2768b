#include <Python.h>

#include <dlfcn.h>
#include <errno.h>
#include <kthreads/kthreads.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "python/python.h"

/* For who looks among the loaded libraries for this one, whose file others may be called like. */
extern const char kthreads_native[];
__attribute__((visibility("default"))) const char kthreads_native[] = "kthreads";

/* ---- The interpreter, entered from threads that it may never have seen ------------------------------ */

/* The state of a pool's thread, which stays from its first Python call to its end, and with it
 * threading.local values. NULL on all others. */
static _Thread_local PyThreadState *own_state;

static atomic_int ending;

/* A thread that enters for the first time makes its state without the GIL, under the lock of CPython's list
 * of interpreters. CPython 3.11 forks without that lock, and asks for it in the child before it makes it
 * anew: a child forked meanwhile hangs. So there a state is made under a lock of ours, which a fork takes
 * first. Later versions hold the lock of the list through a fork, or make it anew first. To end a state takes
 * that lock, too, but with the GIL held, without which Python does not fork.
 *
 * The order of locks: who holds ours takes CPython's and malloc's, and may wait for the GIL, as tracemalloc
 * wants it for each allocation. So who waits for ours does not hold the GIL, be it in the middle of a fork,
 * and takes it back while it has ours, as nobody waits for ours who holds it. None of the engine's locks is
 * taken under ours, nor held when a fork asks for it: handlers run in the reverse of the order that they are
 * registered in, and the engine registers its own first (fork.c). */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
static PyInterpreterState *guarded; /* the main one, as for PyGILState_Ensure; NULL where none has to be */
/* The state that has the GIL, or NULL: _PyThreadState_UncheckedGet, which the limited API lacks. */
static PyThreadState *(*current_state)(void);

static void before_fork(void)
{
    if (pthread_mutex_trylock(&making) == 0) {
        return;
    }
    PyThreadState *own = PyGILState_GetThisThreadState();
    PyThreadState *held = own && own == current_state() ? PyEval_SaveThread() : NULL;
    pthread_mutex_lock(&making);
    if (held) {
        PyEval_RestoreThread(held);
    }
}

static void after_fork(void)
{
    pthread_mutex_unlock(&making);
}

/* As the library is loaded, by a thread of the interpreter. */
static __attribute__((constructor)) void guard_states(void)
{
    PyThreadState *state = Py_IsInitialized() ? PyGILState_GetThisThreadState() : NULL;
    PyInterpreterState *loader = state ? PyThreadState_GetInterpreter(state) : NULL;
    if (Py_Version >> 16 != 0x030b || !loader || PyInterpreterState_GetID(loader) != 0) {
        return;
    }
    *(void **)&current_state = dlsym(RTLD_DEFAULT, "_PyThreadState_UncheckedGet");
    if (current_state && pthread_atfork(before_fork, after_fork, after_fork) == 0) {
        guarded = loader;
    }
}

/* Whether it has made one, which PyGILState_Ensure then finds. */
static int make_state(void)
{
    if (!guarded || PyGILState_GetThisThreadState()) {
        return 0;
    }
    pthread_mutex_lock(&making);
    PyThreadState *state = PyThreadState_New(guarded);
    pthread_mutex_unlock(&making);
    return state != NULL;
}

/* PyGILState_Ensure and PyGILState_Release, but for how a state is made. */
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
        PyGILState_Release(PyGILState_LOCKED); /* a state begins as one that somebody uses: it would stay */
    }
    PyGILState_Release(entry.state);
}

static int can_enter(void)
{
    return Py_IsInitialized() && !atomic_load(&ending);
}

static void have_state_that_stays(void)
{
    if (own_state || PyGILState_GetThisThreadState()) {
        return;
    }
    if (make_state()) {
        own_state = PyGILState_GetThisThreadState();
    } else {
        PyGILState_Ensure();
        own_state = PyEval_SaveThread();
    }
}

void kt_python_leave(void)
{
    if (own_state && can_enter()) {
        PyEval_RestoreThread(own_state);
        PyGILState_Release(PyGILState_UNLOCKED);
    }
    own_state = NULL;
}

void kt_python_end(void)
{
    atomic_store(&ending, 1);
}

/* Drops what a callable returned, or reports what it raised. */
static void drop(PyObject *result, PyObject *callable)
{
    if (result) {
        Py_DECREF(result);
    } else {
        PyErr_WriteUnraisable(callable);
    }
}

/* The exception that is set, which is then no longer set: a new reference. */
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

/* ---- What threads run --------------------------------------------------------------------------------- */

void kt_python_run(void *callable)
{
    if (!Py_IsInitialized()) {
        return; /* a daemon thread that comes first to run when all is over */
    }
    struct entry entry = enter();
    Py_INCREF((PyObject *)callable); /* whoever keeps it may let go as soon as the call has had its effect */
    drop(PyObject_CallNoArgs(callable), callable);
    Py_DECREF((PyObject *)callable);
    leave(entry); /* frees the thread state, where it is not one that stays */
}

void kt_python_task(void *callable)
{
    if (can_enter()) {
        have_state_that_stays();
        kt_python_run(callable);
    }
}

int32_t kt_python_initializer(void *callable)
{
    if (!can_enter()) {
        return 0;
    }
    have_state_that_stays();
    struct entry entry = enter();
    PyObject *result = PyObject_CallNoArgs(callable);
    int32_t failed = !result;
    drop(result, callable);
    leave(entry);
    return failed;
}

/* The first exception of a body is its attribute `error`. */
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
    have_state_that_stays();
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

/* ---- Interrupts -----------------------------------------------------------------------------------------
 */

/* The list that the exception of a signal handler goes to. */
static _Thread_local PyObject *raised_list;

/* Runs the handlers of signals that have come, on the main thread; elsewhere there are none. */
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
    PyObject *outer = raised_list; /* a handler, or a chunk, may run a loop, too */
    raised_list = raised;
    int rc = kt_pool_run_to_end(pool, loop, timeout_ns, handler_raises);
    raised_list = outer;
    return rc;
}

/* ---- What is freed, and what is not ----------------------------------------------------------------- */

void kt_python_free(kt_thread **place)
{
    kt_thread_free(*place);
}

void kt_python_keep(void *object)
{
    struct entry entry = enter(); /* cffi gave the GIL up for this call */
    Py_INCREF((PyObject *)object);
    leave(entry);
}

void kt_python_pool_free(void *keep, kt_pool **place)
{
    (void)keep;
    int rc = *place ? -EINTR : 0;
    while (rc == -EINTR) { /* a signal is no reason to leave it */
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

/* The rest of a forked child's life. */
static _Noreturn void live(PyObject *callable)
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
        live(callable);
    }
    PyOS_AfterFork_Parent();
    leave(entry);
    return rc;
}
