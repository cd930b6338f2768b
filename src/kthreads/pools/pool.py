"""A pool of kernel threads for parallel loops and tasks."""

from __future__ import annotations

import errno
import functools
import os
import queue
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kthreads import deadline, limits
from kthreads._native import ffi, lib
from kthreads.errors import ThreadStateError
from kthreads.functions.function import NativeFunction, is_native, native
from kthreads.iteration import for_each, snapshot
from kthreads.pools import map_array
from kthreads.pools.batch import Batch, columns_of
from kthreads.pools.cancel import CancelToken
from kthreads.pools.completions import collector, collector_of
from kthreads.pools.futures import Submitted
from kthreads.pools.handle import Engine
from kthreads.pools.loop import Loop, run_plain
from kthreads.pools.settings import PoolSpec
from kthreads.pools.stats import PoolStats, WorkerStats
from kthreads.pools.trace import Trace

if TYPE_CHECKING:
    import asyncio

__all__ = ["Pool", "cancel_all_waiting", "keep_all"]

_QUEUE_SIZE = 16384
_TRACE_EVENTS = 1 << 18
_FIRST_DELAY, _LONGEST_DELAY = 0.0005, 0.005  # seconds between two looks for room, on an event loop

_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


@dataclass
class _Turns:
    """Those who wait for room on one event loop."""

    lock: asyncio.Lock
    waiting: int = 0


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
        self._waits_for_room = when_full == "wait"
        spec = self._spec = PoolSpec(
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
        self._turns: dict[Any, _Turns] = {}  # by the event loops in which coroutines wait for room
        self._engine = engine = Engine(spec, spec.error, spec.wait_spin_ns)
        spec.initializer_failed = functools.partial(_break_off, weakref.ref(engine))
        engine.start(spec.cdata)
        _pools.add(self)

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
            and run_plain(self._engine, body, n_or_range, args)
        ):
            return
        Loop(self._engine, body, n_or_range, args, grain, schedule, workers, cancel)(timeout)

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
        return Loop(self._engine, body, n_or_range, args, grain, schedule, workers, cancel)

    map_array = map_array.map_array

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
        engine = self._engine
        if is_native(fn):
            future = engine.native_task(native(fn), args, kwargs)
            engine.submit([future], self._waits_for_room)
            return future
        task = engine.python_task(_check_callable(fn), args, kwargs)
        engine.submit([task], self._waits_for_room)
        return task.future

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
        engine = self._engine
        if is_native(fn):
            batch = Batch(native(fn), iterables, collector(), id(engine), engine.wait_spin_ns)
            engine.submit(batch.units, self._waits_for_room)
            return batch
        tasks = [engine.python_task(_check_callable(fn), args, {}) for args in zip(*columns_of(iterables), strict=True)]
        engine.submit(tasks, self._waits_for_room)
        return [task.future for task in tasks]

    async def run(self, fn: Any, /, *args: Any, **kwargs: Any) -> Any:
        """Makes a call as a task and awaits it, on asyncio. A native function's end reaches the event loop through an
        eventfd that it watches: no other thread takes the GIL for it.

        Cancelling the awaiting task keeps the call from being made, if it has not begun.
        """
        import asyncio  # as in awaiting.py

        loop = asyncio.get_running_loop()
        if not is_native(fn):
            task = self._engine.python_task(_check_callable(fn), args, kwargs)
            await self._submit_from(loop, task)
            return await asyncio.wrap_future(task.future)
        future = self._engine.native_task(native(fn), args, kwargs, collector_of(loop))
        awaited = loop.create_future()

        def wake(_: Future[Any]) -> None:
            if not awaited.done():
                awaited.set_result(None)

        try:
            await self._submit_from(loop, future)
            future.add_done_callback(wake)  # once it is queued, as the engine then tells of its end at once
            await awaited
        finally:
            future.cancel()
        return future.result()

    async def _submit_from(self, event_loop: Any, task: Submitted) -> None:
        """Submits on an event loop, which goes on while there is no room. Those who wait have their turns in order, so one
        of them looks for room at a time."""
        import asyncio

        if not self._waits_for_room or event_loop not in self._turns:
            try:
                self._engine.submit([task], wait=False)
            except queue.Full:
                if not self._waits_for_room:
                    raise
            else:
                return
        turns = self._turns.setdefault(event_loop, _Turns(asyncio.Lock()))
        turns.waiting += 1
        try:
            async with turns.lock:
                await self._submit_when_there_is_room(task)
        finally:
            turns.waiting -= 1
            if not turns.waiting:  # a lock that was waited for keeps its event loop alive
                self._turns.pop(event_loop, None)

    async def _submit_when_there_is_room(self, task: Submitted) -> None:
        import asyncio

        delay = _FIRST_DELAY
        while True:
            try:
                return self._engine.submit([task], wait=False)
            except queue.Full:
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LONGEST_DELAY)

    # ---- Life ------------------------------------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """How many take part in a loop, its caller included, and how many tasks run at once."""
        return self._engine.workers

    def quiesce(self, timeout: float | None = None) -> None:
        """Waits for the loop and the tasks that there are, then ends all threads, until they are needed again.

        For who wants to fork a process that has one thread (``os.fork`` warns of others from CPython 3.12 on).

        Raises:
            TimeoutError: they did not end in time; the pool goes on as before.
            ThreadStateError: called by a task or a body of the pool itself.
        """
        self._end_threads(lambda slice_ns: lib.kt_pool_quiesce(self._engine.handle, slice_ns), timeout)
        collector().stop()

    def resize(self, workers: int, timeout: float | None = None) -> None:
        """Waits as `quiesce` does, then goes on with another number of workers. Raises as that does."""
        count, cpus = limits.check_workers("workers", workers), self._spec.usable
        self._end_threads(lambda slice_ns: lib.kt_pool_resize(self._engine.taking(), count, cpus, slice_ns), timeout)

    def _end_threads(self, call: Callable[[int], int], timeout: float | None) -> None:
        limit = deadline.after(timeout)
        while (code := call(deadline.slice_ns(limit))) != 0:
            if code == -errno.EDEADLK:
                raise ThreadStateError("a pool cannot wait for its own threads: call this from another thread")
            if code not in (-errno.ETIMEDOUT, -errno.EINTR):
                raise self._engine.refused(-code)
            if deadline.has_passed(limit):
                raise TimeoutError("the pool's loops and tasks did not end in time")

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more work. As for the executors of concurrent.futures.

        Args:
            wait: whether to return only when all tasks are done and the threads have ended.
            cancel_futures: whether to cancel the tasks that have not begun.
        """
        self._engine.close(_after_shutdown)
        if cancel_futures:
            self._engine.cancel_waiting()
        if wait:
            self._end_threads(lambda slice_ns: lib.kt_pool_quiesce(self._engine.handle, slice_ns), None)
            collector().collect()

    def __enter__(self) -> Pool:
        return self

    def __exit__(self, *exception: object) -> None:
        self.shutdown()

    def __repr__(self) -> str:
        return f"<Pool of {self.workers} workers{', shut down' if self._engine.refusal else ''}>"

    # ---- What it did -----------------------------------------------------------------------------------------------

    def stats(self) -> PoolStats:
        """What each worker did since the pool was made."""
        count = self.workers + 1
        numbers = ffi.new("kt_worker_stats[]", count)
        count = min(count, lib.kt_pool_stats(self._engine.handle, numbers, count))
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
        trace = Trace(self._engine, path, events)
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


def _break_off(engine: weakref.ref[Engine], error: BaseException) -> None:
    if (there := engine()) is not None:
        there.break_off(functools.partial(_broken, error))


def _broken(error: BaseException) -> Exception:
    refusal = ThreadStateError("the pool takes no work, as its initializer failed")
    refusal.__cause__ = error
    return refusal


def cancel_all_waiting() -> None:
    """As the interpreter begins to end: tasks that have not begun are not run; those that run are left to themselves."""
    for pool in snapshot(_pools):
        pool._engine.close(_after_shutdown)
    for_each(lambda pool: pool._engine.cancel_waiting(), snapshot(_pools))


def keep_all() -> None:
    """At the end of the interpreter: threads of pools go on using what they have."""
    for pool in snapshot(_pools):
        lib.kt_python_keep(ffi.cast("void *", id(pool._engine)))
