/* Thread states: how a thread enters an interpreter and leaves it. */
#include "python/interpreter.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>

/* The thread state of a pool's thread. It is kept from the thread's first Python call to its end, and with it
 * threading.local values. NULL on all other threads. */
static _Thread_local struct {
    PyThreadState *state;
    kt_interpreter *interpreter;
} kept;

/* A thread that enters Python for the first time makes its thread state itself, as a thread state belongs to
 * the thread that makes it (PyThreadState_New stores its pthread_self()). It does so without the GIL, under
 * the lock of CPython's list of interpreters. CPython 3.11 forks without that lock, and takes it in the child
 * before it reinitialises it: a child that is forked while another thread holds the lock hangs. So with 3.11
 * a thread state is made under `state_lock`, which a fork takes first. Later versions hold the lock of the
 * list through a fork, or reinitialise it first. Deleting a thread state takes that lock, too, but with the
 * GIL held, and Python forks only with the GIL.
 *
 * The order of locks: a thread that holds `state_lock` takes locks of CPython and malloc, and may wait for
 * the GIL, as tracemalloc takes it for each allocation. So a thread must not hold the GIL while it waits for
 * `state_lock`, not even in the middle of a fork. It takes the GIL back while it holds `state_lock`, as no
 * thread that holds the GIL waits for `state_lock`. None of the engine's locks is taken under `state_lock`,
 * and none is held when a fork takes `state_lock`: handlers run in the reverse order of their registration,
 * and the engine registers its own first (base/fork.c). */
static pthread_mutex_t state_lock = PTHREAD_MUTEX_INITIALIZER;

/* Whether thread states are made under the lock. */
static int locks_states;

/* _PyThreadState_UncheckedGet, which the limited API lacks: returns the thread state that holds the GIL, or
 * NULL. */
static PyThreadState *(*current_state)(void);

/* The limited API lacks it, but each CPython exports it. It deletes the current thread state, with the GIL
 * held, and releases the GIL. */
extern void PyThreadState_DeleteCurrent(void);

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

static __attribute__((constructor)) void register_fork_handlers(void)
{
    if (!Py_IsInitialized() || Py_Version >> 16 != 0x030b) {
        return;
    }
    *(void **)&current_state = dlsym(RTLD_DEFAULT, "_PyThreadState_UncheckedGet");
    locks_states = current_state && pthread_atfork(before_fork, after_fork, after_fork) == 0;
}

PyThreadState *kt__new_state(const kt_interpreter *interpreter)
{
    if (locks_states) {
        pthread_mutex_lock(&state_lock);
    }
    PyThreadState *state = PyThreadState_New(interpreter->state);
    if (locks_states) {
        pthread_mutex_unlock(&state_lock);
    }
    return state;
}

void kt__delete_state(PyThreadState *state)
{
    PyThreadState_Clear(state);
    PyThreadState_DeleteCurrent();
}

struct kt__entry kt__enter(const kt_interpreter *interpreter)
{
    PyThreadState *own = PyGILState_GetThisThreadState();
    struct kt__entry entry = {0};
    if (!interpreter || (own && PyThreadState_GetInterpreter(own) == interpreter->state)) {
        entry.state = PyGILState_Ensure();
    } else if ((entry.made = kt__new_state(interpreter))) {
        PyEval_RestoreThread(entry.made);
    } else {
        Py_FatalError("kthreads: no memory for a thread state"); /* as PyGILState_Ensure does */
    }
    return entry;
}

void kt__leave(struct kt__entry entry)
{
    if (entry.made) {
        kt__delete_state(entry.made);
    } else {
        PyGILState_Release(entry.state);
    }
}

kt_interpreter *kt_python_interpreter(void *state)
{
    PyThreadState *own = state ? NULL : PyGILState_GetThisThreadState();
    kt_interpreter *interpreter = calloc(1, sizeof *interpreter);
    if (interpreter) {
        interpreter->state = state ? state : PyThreadState_GetInterpreter(own);
    }
    return interpreter;
}

int kt_python_is_main(const kt_interpreter *interpreter)
{
    return PyInterpreterState_GetID(interpreter->state) == 0;
}

int kt__can_enter(kt_interpreter *interpreter)
{
    return Py_IsInitialized() && !atomic_load(&interpreter->ending);
}

void kt__keep_state(kt_interpreter *interpreter)
{
    if (!kept.state && !PyGILState_GetThisThreadState()) {
        kept.state = kt__new_state(interpreter);
        kept.interpreter = interpreter;
    }
}

void kt_python_leave(void)
{
    if (kept.state && kt__can_enter(kept.interpreter)) {
        PyEval_RestoreThread(kept.state);
        kt__delete_state(kept.state);
    }
    kept.state = NULL;
}

void kt_python_end(kt_interpreter *interpreter)
{
    atomic_store(&interpreter->ending, 1);
}
