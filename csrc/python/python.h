/* python/: it may use the engine. Threads that run Python callables: the one place where the engine meets an
 * interpreter. Read by cffi after api.h, and compiled into the extension alone. */

/* Runs callable() with the GIL, on a thread that Python may never have seen, and drops its result.
 * An exception is reported as unraisable. The caller keeps the callable alive until the end. */
void kt_python_run(void *callable);

/* The same as a task of a pool, or as what its threads begin with: Python's state of the thread stays, and
 * threading.local values with it, until kt_python_leave. */
void kt_python_task(void *callable);

/* The same as what the threads of a pool begin with: not 0 where the callable has raised. */
int32_t kt_python_initializer(void *callable);

/* What such a thread calls as it ends. */
void kt_python_leave(void);

/* The interpreter is about to end: no thread of a pool enters it from now on. */
void kt_python_end(void);

/* Frees the handle that a thread was started into, if it was: the destructor of what holds it. */
void kt_python_free(kt_thread **place);

/* Takes a reference to `object` that is never given back: what a native function still uses must
 * outlive the interpreter. */
void kt_python_keep(void *object);

/* Runs body(begin, end) as kt_python_task does, as the body of a parallel loop; not 0 when the loop is to
 * stop, as after an exception, the first of which becomes the attribute `error` of the body, which was None.
 */
int32_t kt_python_chunk(int64_t begin, int64_t end, void *body);

/* kt_pool_run_to_end, interrupted by what a signal handler of Python's raises: after -EINTR that exception is
 * the last item of the list `raised`. */
int kt_python_run_loop(kt_pool *pool, kt_loop *loop, int64_t timeout_ns, void *raised);

/* Ends the threads of the pool that was made into this place, if it was, and frees it; leaves it where that
 * would take longer than they need to leave. Nobody uses it any more. `keep` is what its threads use, for the
 * caller to hold until then. */
void kt_python_pool_free(void *keep, kt_pool **place);

/* Frees the completions that were made into this place, if they were. */
void kt_python_completions_free(kt_completions **place);

/* kt_process_fork between the interpreter's hooks: what os.fork does, with flags. The child calls `callable`,
 * and ends with the status that it returns, or with 1: whatever is raised where, it never returns. */
int kt_python_fork(kt_process *process, const kt_process_spec *spec, kt_failure *failure, void *callable);
