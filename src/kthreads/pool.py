"""A pool of kernel threads for parallel loops and tasks."""

from __future__ import annotations

import atexit
import errno
import functools
import os
import queue
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any

from kthreads import interop, maparray
from kthreads._native import ffi, lib
from kthreads.batch import Batch, columns_of
from kthreads.cancel import CancelToken
from kthreads.collector import collector, collector_of, keep_what_runs
from kthreads.errors import ThreadStateError
from kthreads.loop import Loop, run_plain
from kthreads.native import NativeFunction, is_native, native
from kthreads.poolspec import PoolSpec, check_workers
from kthreads.poolstats import PoolStats, WorkerStats
from kthreads.task import PythonTask, TaskFuture, tasks_of
from kthreads.thread import slice_until
from kthreads.trace import Trace

__all__ = ["Pool"]

_QUEUE_SIZE = 16384
_TRACE_EVENTS = 1 << 18
_ROOM_SLICE_NS = 40_000_000  # how long to wait in C for room in the queue before looking for signals and a shutdown

_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


class Pool:
    """Kernel threads that wait for work: parallel loops, and tasks.

    A loop runs on its caller and on one thread fewer than `workers`; as many tasks as `workers` run at once. Idle
    threads spin for a short while where that has paid before, then sleep: an idle pool uses no CPU.
    The pool works in a forked child, where its threads are started again when they are needed.

    Args:
        workers: from 1 to 4096; `kthreads.cpu_count()` when None.
        name: of the kernel threads, to which their numbers are added.
        cpus: numbers of the CPUs that the threads may run on.
        nice: their nice value, -20 to 19.
        initializer: a native function or Python callable that each thread calls as it begins, with
        initargs: these arguments. After an exception of it the pool takes no more work.
        spin: the longest that an idle thread spins for work, in seconds; "auto" for 200 microseconds, 0 for never.
        stack_size: of the threads, as for `Thread`; when None as for a Python target, as loops and tasks may be in Python.
        queue_size: how many tasks may wait; rounded up to a power of two.
        when_full: what `submit` does when so many wait: "wait", or "raise" queue.Full.
        backend: "clone", "clone3" or "pthread", as for `Thread`.

    Raises:
        ValueError, TypeError: an argument makes no sense.
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
        self._closed = False
        self._when_full = when_full
        self._spec = PoolSpec(
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
        place = ffi.new("kt_pool **")
        if (code := lib.kt_pool_new(place, self._spec.cdata)) < 0:
            raise self._spec.thread.error(-code)
        # Freed with the last who uses it: a prepared loop may run while another thread shuts the pool down.
        # With it goes what its threads use.
        self._handle = ffi.gc(place[0], functools.partial(_free, self._spec))
        _pools.add(self)

    def _engine(self) -> Any:
        """The ``kt_pool *``, if it takes work."""
        if self._closed:
            raise ThreadStateError("cannot use the pool after shutdown")
        if self._spec.broken is not None:
            raise ThreadStateError("the pool takes no work, as its initializer failed") from self._spec.broken
        return self._handle

    # ---- Loops -----------------------------------------------------------------------------------------------------

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
        """Calls ``body(begin, end, *args)`` for chunks of a range, on all workers at once, the caller among them.

        Args:
            body: a native function (see `native`) whose first two parameters are integers; it runs without the GIL. Or a
                Python callable, which runs with it.
            n_or_range: how many items, counted from 0, or a range. A chunk of a range with a step is to be read as
                ``range(begin, end, step)``.
            args: further arguments. `PerWorker` and `WORKER_INDEX` differ from worker to worker; a `CancelToken` is
                passed as a pointer to its flag.
            grain: items in a chunk; when None it is chosen so that each worker has about 16 chunks.
            schedule: "dynamic", or "static" for one chunk a worker.
            workers: the most that take part; all when None.
            timeout: in seconds.
            cancel: stops the loop from elsewhere.

        A loop within a loop of the same pool, and one that another thread runs at the same time, is run by its caller
        alone. After a failure, a timeout, cancellation or Ctrl-C no further chunk is handed out, and the exception, which for
        a Python body is its own, comes when those that run have ended.

        What its pointers point to is the body's business: chunks run at once, and neither how much of an array one of
        them touches nor which array may be another one is to be seen from outside. The same array as input and output
        is right where each item is computed from itself alone; arrays that overlap otherwise, or are shorter than the
        range, are errors that only the body could tell. `map_array` checks both.

        Raises:
            NativeError: the body returned an integer other than 0.
            LoopTimeoutError, LoopCancelledError: it was stopped; `done` tells how many items were done.
            TypeError, ValueError, OverflowError: an argument makes no sense, or is not one for the body.
            ThreadStateError: the pool was shut down.
        """
        if (
            type(body) is NativeFunction
            and type(n_or_range) is int
            and (grain, workers, timeout, cancel, schedule) == (None, None, None, None, "dynamic")
            and run_plain(self, body, n_or_range, args)
        ):
            return
        Loop(self, body, n_or_range, args, grain, schedule, workers, cancel)(timeout)

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
        """A `Loop` with arguments as for `parallel_for`, converted once; calling it runs it."""
        return Loop(self, body, n_or_range, args, grain, schedule, workers, cancel)

    map_array = maparray.map_array

    # ---- Tasks -----------------------------------------------------------------------------------------------------

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queues a call and returns its future, a concurrent.futures.Future. With ``when_full="raise"`` it raises
        queue.Full when as many tasks as may wait do.

        Args:
            fn: a native function, which runs without the GIL and whose arguments are converted now, or a
                Python callable. An exception of the latter, KeyboardInterrupt included, is its future's.

        Raises:
            ThreadStateError: the pool was shut down.
            TypeError, ValueError, OverflowError: an argument is not one for the native function.
        """
        if not is_native(fn):
            return self._submit_python([(fn, args, kwargs)])[0]
        if kwargs:
            raise TypeError("a native function takes no keyword arguments")
        home = collector()
        future = TaskFuture(native(fn), args, home, id(self), self._spec.wait_spin_ns)
        home.start()
        self._queue([future])
        return future

    def submit_many(self, fn: Any, /, *iterables: Iterable[Any]) -> Sequence[Future[Any]]:
        """Queues a call for each row of arguments, taken from the iterables as `map` does, and returns their futures.

        A million calls of a native function cost little more than a million numbers: arguments are best given as
        buffers, such as NumPy arrays of the parameters' types, results best taken by `Batch.results`. Where there are
        more than 4096 calls, so many of them begin and end together that there are no more than 4096 units.

        Args:
            fn: as for `submit`.
            iterables: one for each parameter, of one length.

        Returns:
            A `Batch` for a native function, else a list.

        Raises:
            ValueError: the iterables have different lengths.
            ThreadStateError, TypeError, OverflowError: as `submit`, whose queue.Full may come, too; then none of the calls are made but for
                some that may have begun already.
        """
        if not is_native(fn):
            return self._submit_python([(fn, args, {}) for args in zip(*columns_of(iterables), strict=True)])
        batch = Batch(native(fn), iterables, collector(), id(self), self._spec.wait_spin_ns)
        batch.home.start()
        self._queue(batch.units)
        return batch

    def _submit_python(self, calls: list[tuple[Any, tuple[Any, ...], dict[str, Any]]]) -> list[Future[Any]]:
        for fn, _, _ in calls:
            if not callable(fn):
                raise TypeError(f"fn must be a native function or callable, not {type(fn).__name__}")
        tasks = [PythonTask(*call, id(self), self._spec.wait_spin_ns) for call in calls]
        self._queue(tasks)
        return [task.future for task in tasks]

    def _queue(self, tasks: Sequence[Any]) -> None:
        """Queues what has a `task`, or cancels what was queued and withdraws the others."""
        queued, code = 0, 0
        timeout = _ROOM_SLICE_NS if self._when_full == "wait" else 0
        try:
            while queued < len(tasks):
                engine = self._engine()  # a shutdown ends the wait for room
                waiting = [task.task for task in tasks[queued:]]
                code = lib.kt_pool_submit(engine, waiting, len(waiting), timeout)
                queued += max(0, code)
                if code < 0 and not (timeout and code in (-errno.EAGAIN, -errno.EINTR)):
                    break
                if timeout == 0 and queued < len(tasks) and code >= 0:
                    code = -errno.EAGAIN
                    break
        finally:
            if queued < len(tasks):
                for task in tasks[:queued]:
                    task.cancel()
                for task in tasks[queued:]:
                    task.withdraw()
        if queued < len(tasks):
            if code == -errno.EAGAIN and timeout == 0:
                raise queue.Full("as many tasks as may wait do: the pool's queue_size")
            raise self._spec.thread.error(-code)

    async def run(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Makes a call as a task and awaits it, on asyncio. A native function's end reaches the event loop through an
        eventfd that it watches: no other thread takes the GIL for it.

        Cancelling the awaiting task keeps the call from being made, if it has not begun.
        """
        import asyncio  # as in awaiting.py

        if not is_native(fn):
            return await asyncio.wrap_future(self.submit(fn, *args, **kwargs))
        if kwargs:
            raise TypeError("a native function takes no keyword arguments")
        loop = asyncio.get_running_loop()
        home = collector_of(loop)
        future = TaskFuture(native(fn), args, home, id(self))
        awaited = loop.create_future()

        def wake(_: Future[Any]) -> None:
            if not awaited.done():
                awaited.set_result(None)

        future.add_done_callback(wake)
        self._queue([future])
        try:
            await awaited
        finally:
            future.cancel()
        return future.result()

    # ---- Life ------------------------------------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """How many take part in a loop, its caller included, and how many tasks run at once."""
        return int(lib.kt_pool_workers(self._handle))

    def quiesce(self, timeout: float | None = None) -> None:
        """Waits for the loop and the tasks that there are, then ends all threads, until they are needed again.

        For who wants to fork a process that has one thread (``os.fork`` warns of others from CPython 3.12 on).

        Raises:
            TimeoutError: they did not end in time; the pool goes on as before.
            ThreadStateError: called by a task or a body of the pool itself.
        """
        self._end_threads(lambda slice_ns: lib.kt_pool_quiesce(self._handle, slice_ns), timeout)
        collector().stop()

    def resize(self, workers: int, timeout: float | None = None) -> None:
        """Waits as `quiesce` does, then goes on with another number of workers. Raises as that does."""
        count = check_workers(workers)
        self._end_threads(
            lambda slice_ns: lib.kt_pool_resize(self._engine(), count, self._spec.usable, slice_ns), timeout
        )

    def _end_threads(self, call: Callable[[int], int], timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic_ns() + max(0, int(timeout * 1e9))
        while (code := call(slice_until(deadline))) != 0:
            if code == -errno.EDEADLK:
                raise ThreadStateError("a pool cannot wait for its own threads: call this from another thread")
            if code not in (-errno.ETIMEDOUT, -errno.EINTR):
                raise self._spec.thread.error(-code)
            if deadline is not None and time.monotonic_ns() >= deadline:
                raise TimeoutError("the pool's loops and tasks did not end in time")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more work. As for the executors of concurrent.futures.

        Args:
            wait: whether to return only when all tasks are done and the threads have ended.
            cancel_futures: whether to cancel the tasks that have not begun.
        """
        self._closed = True
        if cancel_futures:
            self._cancel_waiting()
        if wait:
            self._end_threads(lambda slice_ns: lib.kt_pool_quiesce(self._handle, slice_ns), None)
            collector().collect()

    def _cancel_waiting(self) -> None:
        for task in tasks_of(id(self)):
            task.cancel()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return f"<Pool of {self.workers} workers{', shut down' if self._closed else ''}>"

    # ---- What it did -----------------------------------------------------------------------------------------------

    def stats(self) -> PoolStats:
        """What each worker did since the pool was made."""
        count = self.workers + 1
        numbers = ffi.new("kt_worker_stats[]", count)
        count = min(count, lib.kt_pool_stats(self._handle, numbers, count))
        return PoolStats(tuple(WorkerStats.of(numbers[number]) for number in range(count)))

    @contextmanager
    def trace(self, path: str | os.PathLike[str], *, events: int = _TRACE_EVENTS) -> Iterator[None]:
        """Records loops, chunks and tasks within the with block, and writes them to a file that chrome://tracing and
        ui.perfetto.dev show.

        Args:
            path: of the file, which is opened at once.
            events: how many there is room for; 48 bytes each.

        Raises:
            ThreadStateError: the pool is being traced already.
            OSError: the file cannot be written.
        """
        with Trace(self._handle, path, events):
            yield


def _free(_: object, handle: Any) -> None:
    lib.kt_python_pool_free(handle)


def _at_exit() -> None:
    """Tasks that have not begun are not run; those that run are left to themselves, with what they use."""
    for pool in list(_pools):
        pool._closed = True
        pool._cancel_waiting()


def _keep_what_runs() -> None:
    lib.kt_python_end()
    for pool in list(_pools):
        lib.kt_python_keep(ffi.cast("void *", id(pool)))
    keep_what_runs()


interop.at_shutdown(_at_exit)
atexit.register(_keep_what_runs)
