/* Threads that run Python callables: the one place where the engine meets an interpreter.
 * Read by cffi after api.h, and compiled into the extension alone. */

/* Runs callable() with the GIL, on a thread that Python may never have seen, and drops its result.
 * An exception is reported as unraisable. The caller keeps the callable alive until the end. */
void kt_python_run(void *callable);

/* Frees the handle that a thread was started into, if it was: the destructor of what holds it. */
void kt_python_free(kt_thread **place);

/* Takes a reference to `object` that is never given back: what a native function still uses must
 * outlive the interpreter. */
void kt_python_keep(void *object);
