"""The standard library's thread pool executor, on kernel threads that run native functions without the GIL."""

from __future__ import annotations

import concurrent.futures
import functools
import itertools
import operator
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from kthreads import limits
from kthreads.functions.function import NativeFunction, is_native, native
from kthreads.iteration import snapshot
from kthreads.pools.executor_threads import BROKEN, Crew, Worker

__all__ = ["ThreadPoolExecutor"]

_numbers = itertools.count()


class ThreadPoolExecutor(concurrent.futures.ThreadPoolExecutor):
    """The standard ThreadPoolExecutor on kernel threads of ours: native functions run on them without the GIL.

    All that is not said here is as documented for concurrent.futures.ThreadPoolExecutor, of which it is a subclass:
    `map` with all its parameters, `shutdown`, the with statement, Python callables, the order of tasks, the wait for
    them as the interpreter ends. Threads start when a task comes that none is free for.

    Args:
        max_workers: how many threads there may be. When None, what `set_default_workers` was told, or else 4 more
            than `cpu_count()`, but no more than 32. Beyond 4096 there are no more threads.
        thread_name_prefix: what the names of the threads begin with.
        initializer: what each thread calls as it begins: a native function or Python callable. After an exception
            of it the executor is broken: tasks that wait, and later ones, get BrokenThreadPool.
        initargs: its arguments.

    In a forked child it works with threads of its own; the futures of the parent's tasks get BrokenExecutor there.

    Raises:
        ValueError, TypeError: an argument makes no sense.
    """

    def __init__(
        self,
        max_workers: int | None = None,
        thread_name_prefix: str = "",
        initializer: Any = None,
        initargs: tuple[Any, ...] = (),
    ) -> None:
        # The constructor of the base class is not called, as all who use what it makes are overridden. Attributes with
        # its names are those that programs are known to look at.
        if max_workers is None:
            max_workers = limits.default_executor_workers()
        if (max_workers := operator.index(max_workers)) <= 0:
            raise ValueError("max_workers must be greater than 0")
        prepare = None
        if initializer is not None:
            function = _native_or_none(initializer) or initializer
            if not callable(function):
                raise TypeError("initializer must be a callable")
            prepare = functools.partial(function, *initargs)
        self._max_workers = max_workers
        self._thread_name_prefix = thread_name_prefix or f"ThreadPoolExecutor-{next(_numbers)}"
        self._crew = Crew(max_workers, self._thread_name_prefix, prepare)
        weakref.finalize(self, self._crew.close).atexit = False

    @property
    def _threads(self) -> set[Worker]:  # type: ignore[override]
        return set(snapshot(self._crew.threads.values()))

    @property
    def _broken(self) -> str | bool:  # type: ignore[override]
        return BROKEN if self._crew.engine.broken else False

    @property
    def _shutdown(self) -> bool:  # type: ignore[override]
        return self._crew.engine.refusal is not None

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Queues a call and returns its future.

        Args:
            fn: a native function (see `native`), which runs without the GIL and whose arguments are converted now; or
                any other callable, functions of ctypes that do not declare their types among them.

        Raises:
            RuntimeError: after `shutdown` or the end of the interpreter; BrokenThreadPool, when an initializer failed.
            TypeError, ValueError, OverflowError: an argument is not one for the native function.
            ThreadLimitError, ThreadMemoryError: there is no thread yet, and none could be started.
        """
        engine = self._crew.engine
        if (function := _native_or_none(fn)) is not None:
            future = engine.native_task(function, args, kwargs)
            self._crew.submit(future)
            return future
        task = engine.python_task(fn, args, kwargs)
        self._crew.submit(task)
        return task.future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Takes no more tasks; see concurrent.futures.Executor.shutdown."""
        self._crew.close()
        if cancel_futures:
            self._crew.engine.cancel_waiting()
        if wait:
            self._crew.join()

    def __repr__(self) -> str:
        state = ", broken" if self._broken else ", shut down" if self._shutdown else ""
        return f"<ThreadPoolExecutor of at most {self._max_workers} workers{state}>"


def _native_or_none(fn: Any) -> NativeFunction | None:
    """The native function that an object stands for; None for one that is called by Python, as are those of ctypes that
    do not say how they are called, or that need the GIL."""
    if not is_native(fn):
        return None
    try:
        return native(fn)
    except TypeError:
        if callable(fn):
            return None
        raise
