"""The standard library's thread pool executor, on kernel threads that run native functions without the GIL."""

from __future__ import annotations

import concurrent.futures
import functools
import math
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from kthreads import limits
from kthreads._native import lib
from kthreads.functions.function import NativeFunction
from kthreads.functions.sources import is_native, native
from kthreads.iteration import snapshot
from kthreads.pools.executor_threads import BROKEN, ExecutorThread, ExecutorThreads
from kthreads.pools.work_queue import WorkQueue

__all__ = ["ThreadPoolExecutor"]


class ThreadPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    """The standard ThreadPoolExecutor on kernel threads of kthreads, which run native functions without the GIL.

    It is a subclass of concurrent.futures.ThreadPoolExecutor and does what is documented there: `map` with all its
    parameters, `shutdown`, the with statement, Python callables, the order of tasks, the wait for tasks at the end of the
    interpreter. A thread starts when a task is submitted and no thread is idle.

    Args:
        max_workers: the largest number of threads. When None, the number given to `set_default_workers`, or else
            `cpu_count()` + 4, at most 32. There are never more than 4096 threads.
        thread_name_prefix: what the names of the threads begin with.
        initializer: what each thread calls as it begins: a native function or Python callable. If it raises, the
            executor is broken: tasks that wait, and later ones, raise BrokenThreadPool.
        initargs: the arguments of the initializer.

    In a forked child it starts threads of its own. The futures of the parent's tasks raise BrokenExecutor there.

    Raises:
        ValueError, TypeError: an argument is invalid.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Any = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        # The base class's constructor is not called, as every method that uses its attributes is overridden. The
        # attributes and properties below that have its names are for programs that read them.
        if max_workers is None:
            max_workers = limits.default_executor_workers()
        if max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        prepared = None
        if initializer is not None:
            function = _native_or_none(initializer) or initializer
            if not callable(function):
                raise TypeError("initializer must be a callable")
            prepared = functools.partial(function, *initargs)
        self._max_workers = max_workers
        next_number = concurrent.futures.ThreadPoolExecutor._counter  # type: ignore[attr-defined]
        self._thread_name_prefix = thread_name_prefix or f"ThreadPoolExecutor-{next_number()}"
        self._initializer, self._initargs = initializer, initargs
        self._shutdown_lock = threading.RLock()  # type: ignore[assignment]
        most = math.ceil(min(max_workers, lib.KT_POOL_WORKERS_MAX))  # as the standard executor does with 2.5
        self._executor_threads = ExecutorThreads(most, self._thread_name_prefix, prepared)
        weakref.finalize(self, self._executor_threads.close).atexit = False

    @property
    def _threads(self) -> set[ExecutorThread]:  # type: ignore[override]
        return set(snapshot(self._executor_threads.threads.values()))

    @property
    def _work_queue(self) -> WorkQueue:  # type: ignore[override]
        return WorkQueue(self._executor_threads.handle)

    @property
    def _idle_semaphore(self) -> threading.Semaphore:  # type: ignore[override]
        return threading.Semaphore(self._executor_threads.idle())

    @property
    def _broken(self) -> str | bool:  # type: ignore[override]
        return BROKEN if self._executor_threads.handle.broken else False

    @property
    def _shutdown(self) -> bool:  # type: ignore[override]
        return self._executor_threads.handle.closed_error is not None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queues a call and returns its future.

        Args:
            fn: a native function (see `native`), which runs without the GIL and whose arguments are converted now; or
                any other callable, including a ctypes function that does not declare its types.

        Raises:
            RuntimeError: after `shutdown` or the end of the interpreter; BrokenThreadPool, when an initializer failed.
            TypeError, ValueError, OverflowError: an argument is not one for the native function.
            ThreadLimitError, ThreadMemoryError: there is no thread yet, and none could be started.
        """
        handle = self._executor_threads.handle
        if (function := _native_or_none(fn)) is not None:
            future = handle.native_task(function, args, kwargs)
            self._executor_threads.submit(future)
            return future
        task = handle.python_task(fn, args, kwargs)
        self._executor_threads.submit(task)
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more tasks; see concurrent.futures.Executor.shutdown."""
        self._executor_threads.close()
        if cancel_futures:
            self._executor_threads.handle.cancel_waiting()
        if wait:
            self._executor_threads.join()

    def __repr__(self) -> str:
        state = ", broken" if self._broken else ", shut down" if self._shutdown else ""
        return f"<ThreadPoolExecutor of at most {self._max_workers} workers{state}>"


def _native_or_none(fn: Any) -> NativeFunction | None:
    """The native function that an object stands for. None for an object that Python calls, such as a ctypes function that
    does not declare its types or that needs the GIL."""
    if not is_native(fn):
        return None
    try:
        return native(fn)
    except TypeError:
        if callable(fn):
            return None
        raise
