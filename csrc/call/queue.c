/* Tasks, queued by one call from Python. */
#include "call/call.h"

typedef int64_t (*submit_function)(void *pool, kt_task *const *tasks, size_t count, int64_t timeout_ns);

/* The arguments of queue_task, which are pointers. */
struct queue {
    submit_function submit;
    void *pool;
};

static int parse(PyObject *module, PyObject *const *args, Py_ssize_t count, struct queue *queue)
{
    const struct kt__module *state = PyModule_GetState(module);
    if (count != 6 || Py_TYPE(args[2]) != state->held || !PyDict_Check(args[3])) {
        PyErr_SetString(PyExc_TypeError, "queue_task takes two addresses, a task, a dict, a key and a value");
        return -1;
    }
    queue->submit = (submit_function)(uintptr_t)PyLong_AsVoidPtr(args[0]);
    queue->pool = PyLong_AsVoidPtr(args[1]);
    return PyErr_Occurred() ? -1 : 0;
}

PyObject *kt__queue_task(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    struct queue queue;
    if (parse(module, args, count, &queue) < 0 || PyDict_SetItem(args[3], args[4], args[5]) < 0) {
        return NULL;
    }
    kt_task *task = ((kt__held *)args[2])->memory;
    PyThreadState *state = PyEval_SaveThread();
    int64_t queued = queue.submit(queue.pool, &task, 1, 0);
    PyEval_RestoreThread(state);
    if (queued != 1 && PyDict_DelItem(args[3], args[4]) < 0) {
        PyErr_Clear(); /* another thread has removed it */
    }
    return PyBool_FromLong(queued == 1);
}
