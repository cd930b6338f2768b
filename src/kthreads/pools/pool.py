"""A pool of kernel threads for parallel loops and tasks."""

from __future__ import annotations

import errno
import functools
import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, overload

from kthreads import deadline, interpreter, lifecycle, limits
from kthreads._native import ffi, lib
from kthreads.errors import ThreadStateError
from kthreads.functions.function import NativeFunction
from kthreads.functions.sources import is_native, native
from kthreads.iteration import for_each
from kthreads.pools.batch import Batch
from kthreads.pools.cancel import CancelToken
from kthreads.pools.columns import rows_of
from kthreads.pools.completions import completions_of, drain_shared, shared_completions
from kthreads.pools.event_loops import EventLoops
from kthreads.pools.fast_loop import run_fast
from kthreads.pools.handle import PoolHandle
from kthreads.pools.loop import Loop
from kthreads.pools.map_array import map_array
from kthreads.pools.settings import PoolSettings
from kthreads.pools.stats import PoolStats, WorkerStats
from kthreads.pools.trace import Trace
from kthreads.weak_objects import WeakObjects

__all__ = ["Pool", "close_at_exit", "end_threads_at_exit", "keep_at_exit", "open_pools"]

_QUEUE_SIZE = 16384
_TRACE_EVENTS = 1 << 18

_pools: WeakObjects[Pool] = WeakObjects()


class Pool:
    """Kernel threads that wait for work: parallel loops and tasks.

    A loop runs on its caller and on `workers` - 1 threads. `workers` tasks run at once. An idle thread spins for a short
    time if spinning has found work before, then sleeps: an idle pool uses no CPU time. When loops come with a rhythm, it
    wakes up shortly before the next one. In a forked child the pool starts its threads again when they are needed.

    Args:
        workers: from 1 to 4096; `kthreads.cpu_count()` when None.
        name: what the names of the kernel threads begin with; their numbers follow.
        cpus: the numbers of the CPUs that the threads may run on.
        nice: the nice value of the threads, -20 to 19.
        initializer: a native function or Python callable that each thread calls as it begins. If it raises, the pool
            takes no more work.
        initargs: the arguments of the initializer.
        spin: the longest time that an idle thread spins, in seconds; "auto" for 200 microseconds, 0 for never. With 0 it
            does not wake up before a loop either.
        stack_size: of the threads in bytes, as for `Thread`; None for the size that a Python target gets.
        queue_size: how many tasks may wait; rounded up to a power of two.
        when_full: what `submit` does when the queue is full: "wait", or "raise" queue.Full.
        backend: "clone", "clone3" or "pthread", as for `Thread`.

    Raises:
        ValueError, TypeError: an argument is invalid.
        ThreadLimitError, ThreadMemoryError, SettingError: the threads could not be started; none is left behind.
    """

    def __init__(
        self,
        workers: int | None = None,
        *,
        name: str = "kthreads",
        cpus: Iterable[int] | None = None,
        nice: int | None = None,
        initializer: Any = None,
        initargs: Sequence[Any] = (),
        spin: float | str = "auto",
        stack_size: int | None = None,
        queue_size: int = _QUEUE_SIZE,
        when_full: str = "wait",
        backend: str = "clone",
    ) -> None:
        if when_full not in ("wait", "raise"):
            raise ValueError(f"when_full must be 'wait' or 'raise', not {when_full!r}")
        self._waits_for_room = when_full == "wait"
        settings = self._pool_settings = PoolSettings(
            workers=workers,
            name=name,
            cpus=cpus,
            nice=nice,
            initializer=initializer,
            initargs=initargs,
            spin=spin,
            stack_size=stack_size,
            queue_size=queue_size,
            backend=backend,
        )
        self._handle = handle = PoolHandle(settings, settings.error, settings.wait_spin_ns)
        if settings.python_initializer is not None:
            settings.python_initializer.failed = functools.partial(_mark_broken, weakref.ref(handle))
        handle.start(settings.cdata)
        self._event_loops = EventLoops(handle, self._waits_for_room)
        _pools.add(self)

    def parallel_for(
        self,
        body: Any,
        n_or_range: int | range,
        *args: Any,
        grain: int | None = None,
        schedule: str = "dynamic",
        workers: int | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> None:
        """Calls ``body(begin, end, *args)`` for the chunks of a range, on all workers in parallel, including the caller.

        Args:
            body: a native function (see `native`) whose first two parameters are integers; it runs without the GIL. Or a
                Python callable, which runs with it.
            n_or_range: the number of items, counted from 0, or a range. A chunk of a range with a step means
                ``range(begin, end, step)``.
            args: further arguments. `PerWorker` and `WORKER_INDEX` differ from worker to worker; a `CancelToken` is
                passed as a pointer to its flag.
            grain: items in a chunk. When None, the engine chooses it so that each worker has about 16 chunks.
            schedule: "dynamic", or "static" for one chunk a worker.
            workers: the largest number of workers that run the loop; None for all.
            timeout: in seconds.
            cancel: a token by which another thread stops the loop.

        The caller alone runs a loop within a loop of the same pool, and a loop that it starts while another thread runs
        one. After a failure, a timeout, cancellation or Ctrl-C no worker begins another chunk. The exception is raised when
        the running chunks have ended. A Python body's exception is raised as it is.

        The body decides what it does with its pointers. Chunks run in parallel, and the pool cannot see how much of an
        array a chunk uses, or which arrays overlap. One array may be both input and output if each item is computed from
        itself alone. Other overlaps, and arrays shorter than the range, are errors that only the body could detect.
        `map_array` checks both.

        Raises:
            NativeError: the body returned an integer other than 0.
            LoopTimeoutError, LoopCancelledError: the loop was stopped; `done` is the number of items done.
            TypeError, ValueError, OverflowError: an argument is invalid, or is not one for the body.
            ThreadStateError: the pool was shut down.
        """
        if (
            type(body) is NativeFunction
            and type(n_or_range) is int
            and (grain, workers, timeout, cancel, schedule) == (None, None, None, None, "dynamic")
            and run_fast(self._handle, body, n_or_range, args)
        ):
            return
        Loop(self._handle, body, n_or_range, args, grain, schedule, workers, cancel)(timeout)

    def prepare(
        self,
        body: Any,
        n_or_range: int | range,
        *args: Any,
        grain: int | None = None,
        schedule: str = "dynamic",
        workers: int | None = None,
        cancel: CancelToken | None = None,
    ) -> Loop:
        """A `Loop` with the arguments of `parallel_for`, which are converted once. Calling it runs it."""
        return Loop(self._handle, body, n_or_range, args, grain, schedule, workers, cancel)

    def map_array(
        self,
        fn: Any,
        /,
        *arrays: Any,
        out: Any = None,
        grain: int | None = None,
        schedule: str = "dynamic",
        workers: int | None = None,
        timeout: float | None = None,
        cancel: CancelToken | None = None,
    ) -> Any:
        """Calls a native function for each element of arrays, on all workers at once, without the GIL: what a NumPy ufunc
        of that one function would do, in parallel. Needs NumPy.

        Args:
            fn: a native function (see `native`) of numbers that returns a number: ``double(double)``, ``int(int, double)``.
                It is called once for each element of the result, in no particular order.
            arrays: one for each parameter, or what `numpy.asarray` makes one of. Shapes are broadcast. Any strides, byte
                order and alignment will do. Types must be the parameters', or convert to them by NumPy's casting rule
                "safe"; a converted array is a copy. A Python int or float has no type of its own, and must be in the range of
                the parameter's.
            out: an array for the result, of the broadcast shape, of a type that the function's converts to by NumPy's
                casting rule "same_kind". It may be one of `arrays`; where it shares memory with them otherwise, is of another
                type, or has elements that share memory with each other, the result is computed elsewhere and then copied.
            grain: elements in a chunk; when None it is chosen so that each worker has about 16 chunks, or more, of 65536, in a
                large map.
            schedule, workers, timeout, cancel: as for `Pool.parallel_for`.

        Returns:
            `out`, or a new array of the function's type, whose memory is laid out as the inputs' is; a NumPy scalar when all
            arguments are scalars or of no dimension. Subclasses of arrays become plain arrays. When the call ends with an
            exception, some elements of `out` may have been written.

        What the function leaves in errno is not told, and floating-point errors raise no warning.

        Raises:
            TypeError: the function is not one of numbers, or returns nothing; there are not as many arrays as parameters; a
                type does not convert.
            ValueError: the shapes do not broadcast, or not to the shape of `out`; `out` is read-only.
            OverflowError: a Python number is out of the range of its parameter.
            ModuleNotFoundError: NumPy is not installed.
            LoopTimeoutError, LoopCancelledError, ThreadStateError: as for `Pool.parallel_for`.
        """
        return map_array(self._handle, fn, arrays, out, grain, schedule, workers, timeout, cancel)

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queues a call and returns its future, a concurrent.futures.Future.

        Args:
            fn: a native function, which runs without the GIL and whose arguments are converted now; or a Python callable.
                An exception of a Python callable, including KeyboardInterrupt, becomes the exception of the future.

        Raises:
            ThreadStateError: the pool was shut down.
            queue.Full: the queue is full, and the pool has ``when_full="raise"``.
            TypeError, ValueError, OverflowError: an argument is not one for the native function.
        """
        handle = self._handle
        if type(fn) is NativeFunction or is_native(fn):
            future = handle.native_task(native(fn), args, kwargs)
            handle.submit([future], self._waits_for_room)
            return future
        task = handle.python_task(_check_callable(fn), args, kwargs)
        handle.submit([task], self._waits_for_room)
        return task.future

    @overload
    def submit_many(self, fn: NativeFunction, /, *iterables: Any) -> Batch: ...
    @overload
    def submit_many(self, fn: Any, /, *iterables: Any) -> Sequence[Future[Any]]: ...
    def submit_many(self, fn: Any, /, *iterables: Any) -> Sequence[Future[Any]]:
        """Queues a call for each row of arguments, taken from the iterables as `map` does, and returns their futures.

        It is fastest for a native function with arguments in buffers, such as NumPy arrays of the parameters' types, and
        with results taken by `Batch.array`. A batch of more calls than 1024, and than there are workers, forms so many units;
        the calls of a unit begin and end together.

        Args:
            fn: as for `submit`.
            iterables: one for each parameter, all of the same length; or a scalar, which all calls get: None, a number, or
                what cannot be iterated over. For a parameter that is a pointer, the items may be what a single call takes,
                such as bytes and arrays; an array with more dimensions than one gives each call a pointer to its row; and
                so do `Slices`.

        Returns:
            A `Batch` for a native function, else a list.

        Raises:
            ValueError: the iterables have different lengths.
            ThreadStateError, TypeError, OverflowError, queue.Full: as `submit`. No call is made then, except those
                that have begun already.
        """
        handle = self._handle
        if is_native(fn):
            batch = Batch(native(fn), iterables, shared_completions(), id(handle), handle.wait_spin_ns, self.workers)
            handle.submit(batch.units, self._waits_for_room)
            return batch
        tasks = [handle.python_task(_check_callable(fn), args, {}) for args in rows_of(iterables)]
        handle.submit(tasks, self._waits_for_room)
        return [task.future for task in tasks]

    async def run(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Submits a call and awaits it, on asyncio. The event loop watches an eventfd for the ends of native functions: no
        other thread takes the GIL for them.

        Cancelling the awaiting task cancels the call if it has not begun.
        """
        import asyncio  # as in readable.py

        loop = asyncio.get_running_loop()
        if not is_native(fn):
            task = self._handle.python_task(_check_callable(fn), args, kwargs)
            await self._event_loops.submit_from(loop, task)
            return await asyncio.wrap_future(task.future)
        future = self._handle.native_task(native(fn), args, kwargs, completions_of(loop))
        awaited = loop.create_future()

        def wake(_: Future[Any]) -> None:
            if not awaited.done():
                awaited.set_result(None)

        try:
            await self._event_loops.submit_from(loop, future)
            future.add_done_callback(wake)  # after it was queued: the engine now notifies of its end at once
            await awaited
        finally:
            future.cancel()
        return future.result()

    @property
    def workers(self) -> int:
        """How many threads run a loop, its caller included, and how many tasks run at once."""
        return self._handle.workers

    def quiesce(self, timeout: float | None = None) -> None:
        """Waits until the running loop and all tasks have ended, then ends all threads. They start again when needed.

        For a caller that wants to fork while the process has one thread: from CPython 3.12 on, ``os.fork`` warns if there
        are more.

        Raises:
            TimeoutError: they did not end in time; the pool continues as before.
            ThreadStateError: a task or a body of the pool itself has called it.
        """
        self._end_threads(lambda slice_ns: lib.kt_pool_quiesce(self._handle.cdata, slice_ns), timeout)
        shared_completions().stop()

    def resize(self, workers: int, timeout: float | None = None) -> None:
        """Waits as `quiesce` does, then continues with another number of workers. Raises as `quiesce` does."""
        count, cpus = limits.check_workers("workers", workers), self._pool_settings.usable
        self._end_threads(
            lambda slice_ns: lib.kt_pool_resize(self._handle.open_cdata(), count, cpus, slice_ns), timeout
        )

    def _end_threads(self, call: Callable[[int], int], timeout: float | None) -> None:
        limit = deadline.after(timeout)
        while (code := call(deadline.slice_ns(limit))) != 0:
            if code == -errno.EDEADLK:
                raise ThreadStateError("a pool cannot wait for its own threads: call this from another thread")
            if code not in (-errno.ETIMEDOUT, -errno.EINTR):
                raise self._handle.error_of(-code)
            if deadline.has_passed(limit):
                raise TimeoutError("the pool's loops and tasks did not end in time")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more work, as the executors of concurrent.futures do.

        Args:
            wait: whether to return only after all tasks are done and the threads have ended.
            cancel_futures: whether to cancel the tasks that have not begun.
        """
        self._handle.close(_after_shutdown)
        if cancel_futures:
            self._handle.cancel_waiting()
        if wait:
            self._end_threads(lambda slice_ns: lib.kt_pool_quiesce(self._handle.cdata, slice_ns), None)
            drain_shared()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return f"<Pool of {self.workers} workers{', shut down' if self._handle.closed_error else ''}>"

    def stats(self) -> PoolStats:
        """Counters of each worker, since the pool was made."""
        count = self.workers + 1
        numbers = ffi.new("kt_worker_stats[]", count)
        count = min(count, lib.kt_pool_stats(self._handle.cdata, numbers, count))
        return PoolStats(tuple(WorkerStats.of(numbers[number]) for number in range(count)))

    @contextmanager
    def trace(self, path: str | os.PathLike[str], *, events: int = _TRACE_EVENTS) -> Iterator[None]:
        """Records the loops, chunks and tasks of a with block, and writes them to a file for chrome://tracing and
        ui.perfetto.dev.

        Args:
            path: of the file, which is opened at once.
            events: the number of events that there is memory for, 48 bytes each.

        Raises:
            ThreadStateError: the pool is being traced already.
            OSError: the file cannot be written.
        """
        trace = Trace(self._handle, path, events)
        try:
            trace.begin()
            yield
        finally:
            try:
                trace.end()
            except BaseException:  # of a signal handler, perhaps before the first instruction of `end`
                trace.end()
                raise


def _check_callable(fn: Any) -> Any:
    if not callable(fn):
        raise TypeError(f"fn must be a native function or callable, not {type(fn).__name__}")
    return fn


def _after_shutdown() -> Exception:
    return ThreadStateError("cannot use the pool after shutdown")


def _mark_broken(handle: weakref.ref[PoolHandle], error: BaseException) -> None:
    if (there := handle()) is not None:
        there.mark_broken(functools.partial(_broken, error))


def _broken(error: BaseException) -> Exception:
    closed_error = ThreadStateError("the pool takes no work, as its initializer failed")
    closed_error.__cause__ = error
    return closed_error


def open_pools() -> list[Pool]:
    """The pools that were not shut down."""
    return [pool for pool in _pools.alive() if pool._handle.closed_error is None]


@lifecycle.as_the_interpreter_begins_to_end.add
def close_at_exit() -> None:
    """As the interpreter begins to end: closes all pools and cancels the tasks that have not begun. Running tasks continue."""
    for pool in _pools.alive():
        pool._handle.close(_after_shutdown)
    for_each(lambda pool: pool._handle.cancel_waiting(), _pools.alive())


@lifecycle.as_the_interpreter_begins_to_end.add
def end_threads_at_exit() -> None:
    """As a subinterpreter begins to end: waits for the running tasks, and ends all threads."""
    if not interpreter.IS_MAIN:
        for_each(Pool.shutdown, _pools.alive())
        drain_shared()


@lifecycle.at_its_end.add
def keep_at_exit() -> None:
    """At the end of the interpreter: keeps the memory that the threads of pools still use."""
    for pool in _pools.alive():
        lib.kt_python_keep(ffi.cast("void *", id(pool._handle)))
