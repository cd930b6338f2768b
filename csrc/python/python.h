/* python/: threads that run Python callables. It may use the engine, and is the only folder that uses the
 * interpreter. cffi reads this file after api.h; it is compiled into the extension alone. */

/* Runs callable() with the GIL, on a thread that Python may not know yet, and drops its result. An exception
 * is reported as unraisable. The caller keeps the callable alive until this returns. */
void kt_python_run(void *callable);

/* The same for a task of a pool. Python's thread state is kept until kt_python_leave, and threading.local
 * values with it. */
void kt_python_task(void *callable);

/* The same for the initializer of a pool's threads. Returns not 0 when the callable has raised an
 * exception. */
int32_t kt_python_initializer(void *callable);

/* Deletes the thread state that was kept. A thread of a pool calls this as it ends. */
void kt_python_leave(void);

/* Announces the end of the interpreter: no thread of a pool enters it from now on. */
void kt_python_end(void);

/* Frees the handle in this place, unless it is NULL. This is the destructor of the object that holds it. */
void kt_python_free(kt_thread **place);

/* Takes a reference to `object` and never drops it, so that memory which a native function still uses
 * outlives the interpreter. */
void kt_python_keep(void *object);

/* Runs body(begin, end) as kt_python_task does, as the body of a parallel loop. Returns not 0 when the loop
 * is to stop, as after an exception. The first exception is stored in the body's attribute `error`, which is
 * None before. */
int32_t kt_python_chunk(int64_t begin, int64_t end, void *body);

/* kt_pool_run_to_end, interrupted by an exception of a Python signal handler: after -EINTR the exception is
 * the last item of the list `raised`. */
int kt_python_run_loop(kt_pool *pool, kt_loop *loop, int64_t timeout_ns, void *raised);

/* Ends the threads of the pool in this place, unless it is NULL, and frees the pool. The caller guarantees
 * that it is no longer used. A pool whose threads do not end in time is not freed. `keep` holds what the
 * threads use: the caller keeps it until then. */
void kt_python_pool_free(void *keep, kt_pool **place);

/* Frees the completion queue in this place, unless it is NULL. */
void kt_python_completions_free(kt_completions **place);

/* Calls kt_process_fork between the interpreter's fork hooks: os.fork with flags. The child calls `callable`
 * and ends with the status that it returns, or with 1 after an exception. This function never returns in the
 * child. */
int kt_python_fork(kt_process *process, const kt_process_spec *spec, kt_failure *failure, void *callable);
