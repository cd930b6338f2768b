/* python/: threads that run Python callables. It may use the engine, and is the only folder that uses the
 * interpreter. cffi reads this file after api.h; it is compiled into the extension alone. */

/* An interpreter that uses this library. */
typedef struct kt_interpreter kt_interpreter;

/* Registers an interpreter, for as long as the process lives. `state` is its PyInterpreterState *, or NULL
 * for that of the calling thread. Returns NULL without memory. */
kt_interpreter *kt_python_interpreter(void *state);

/* Whether it is the main interpreter. */
int kt_python_is_main(const kt_interpreter *interpreter);

/* Announces the end of the interpreter: no thread of a pool enters it from now on. */
void kt_python_end(kt_interpreter *interpreter);

/* The call of a Python callable on a thread of its own. */
typedef struct kt_python_call {
    void *callable; /* called without arguments; its result is dropped, an exception is reported as unraisable
                     */
    kt_interpreter *interpreter;
    int32_t daemon; /* kt_python_await_threads does not wait for it */

    /* For the library's use. */
    uint32_t begun;
    kt_call call;
} kt_python_call;

/* Starts a thread that runs a Python callable, and waits until the callable has begun. Errors as
 * kt_thread_start; -ENOMEM also when there is no memory for a thread state: then the thread has ended.
 * -EINTR: the thread was started, and a signal has come: call kt_python_await_begin. The caller keeps the
 * callable and *call alive until the callable has begun. */
int kt_python_start(kt_thread **place, const kt_spec *spec, kt_python_call *call);

/* Waits until the callable of a started thread has begun. -EINTR: call it again. */
int kt_python_await_begin(kt_thread **place, kt_python_call *call);

/* The callable announces by this that it has begun, where there is no GIL. */
void kt_python_announce(kt_python_call *call);

/* Waits until the threads of kt_python_start that are no daemons have left the interpreter. -ETIMEDOUT,
 * -EINTR. */
int kt_python_await_threads(kt_interpreter *interpreter, int64_t timeout_ns);

/* In a forked child: the threads are the parent's. */
void kt_python_forget_threads(kt_interpreter *interpreter);

/* Runs callable() with the GIL as a task of a pool, on a thread that Python may not know yet, and drops its
 * result. An exception is reported as unraisable. The caller keeps the callable alive until this returns.
 * Python's thread state is kept until kt_python_leave, and threading.local values with it. */
void kt_python_task(void *callable, kt_interpreter *interpreter);

/* The same for the initializer of a pool's threads. Returns not 0 when the callable has raised an
 * exception. */
int32_t kt_python_initializer(void *callable, kt_interpreter *interpreter);

/* Deletes the thread state that was kept. A thread of a pool calls this as it ends. */
void kt_python_leave(void);

/* Frees the handle in this place, unless it is NULL. This is the destructor of the object that holds it. */
void kt_python_free(kt_thread **place);

/* Takes a reference to `object` and never drops it, so that memory which a native function still uses
 * outlives the interpreter. */
void kt_python_keep(void *object);

/* Runs body(begin, end) as kt_python_task does, as the body of a parallel loop. The bounds are unsigned if
 * `is_unsigned` is not 0. Returns not 0 when the loop is to stop, as after an exception. The first exception
 * is stored in the body's attribute `error`, which is None before. */
int32_t kt_python_chunk(int64_t begin, int64_t end, void *body, kt_interpreter *interpreter,
                        int32_t is_unsigned);

/* kt_pool_run_to_end, interrupted by an exception of a Python signal handler: after -EINTR the exception is
 * the last item of the list `raised`. */
int kt_python_run_loop(kt_pool *pool, kt_loop *loop, int64_t timeout_ns, void *raised);

/* The same for a loop whose body is a Python callable: after -EIO the body's exception is the last item of
 * the list `raised`, unless the interpreter is ending. */
int kt_python_run_body(kt_pool *pool, kt_loop *loop, int64_t timeout_ns, void *raised, void *body);

/* The loop as the calling thread's last run has left it that has failed; valid until the next one fails. The
 * loop itself may be run by another thread already. */
const kt_loop *kt_python_failed_loop(void);

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
