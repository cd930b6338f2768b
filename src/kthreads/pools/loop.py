"""Parallel loops: a body, a range and arguments, as the engine runs them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from kthreads import deadline, interpreter
from kthreads._native import ffi, lib
from kthreads.errors import LoopCancelledError, LoopTimeoutError, NativeError, ThreadStateError
from kthreads.functions.function import NativeFunction
from kthreads.functions.sources import is_native, native
from kthreads.pools.cancel import CancelToken
from kthreads.pools.handle import PoolHandle
from kthreads.pools.loop_arguments import (
    PER_LOOP,
    check_body,
    check_positive,
    check_python_args,
    check_schedule,
    failure_mask,
    fill_range,
    is_unsigned,
    range_of,
    resolve_per_worker,
)
from kthreads.pools.per_worker import PerWorker
from kthreads.threads.known_to_threading import attach, here

__all__ = ["RAISED", "Loop", "native_failure", "stopped_error"]

_LOOP, _OBJECT = ffi.typeof("kt_loop *"), ffi.typeof("void *")
_RUN_PYTHON = ffi.cast("kt_function", ffi.addressof(lib, "kt_python_chunk"))
_new, _cast, _run, _buffer = ffi.new, ffi.cast, lib.kt_python_run_loop, ffi.buffer

# The exception that a signal handler has raised while the main thread runs a native loop. Only the main thread runs handlers.
_raised: list[BaseException] = []
RAISED = ffi.cast("void *", id(_raised))
"""The engine appends it to the list at this address."""


class _PythonBody:
    """A Python callable as the body of a loop. The first exception stops the loop.

    Attributes:
        error: that exception. The engine sets it, also where a signal handler raises before the first bytecode.
    """

    __slots__ = ("args", "body", "error")

    def __init__(self, body: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.body = body
        self.args = args
        self.error: BaseException | None = None

    def __call__(self, begin: int, end: int) -> None:
        if not here.is_attached:
            attach()
        self.body(begin, end, *self.args)


class Loop:
    """A parallel loop with converted arguments, which can be run any number of times. `Pool.prepare` makes it.

    A call runs the loop, and returns when all chunks are done. The arguments stay alive, and buffers cannot be resized,
    as long as the loop exists.
    """

    __slots__ = ("_body", "_cancel", "_cdata", "_handle", "_keep", "_most", "_rows", "count")

    def __init__(
        self,
        handle: PoolHandle,
        body: Any,
        n_or_range: int | range,
        args: tuple[Any, ...],
        grain: int | None,
        schedule: str,
        workers: int | None,
        cancel: CancelToken | None,
    ) -> None:
        items = n_or_range if type(n_or_range) is range else range_of(n_or_range)
        cdata = self._cdata = _new(_LOOP)
        self._handle = handle
        if schedule != "dynamic":
            cdata.schedule = check_schedule(schedule)
        if grain is not None:
            cdata.grain = check_positive("grain", grain)
        self._most = None if workers is None else check_positive("workers", workers)
        cdata.workers = self._most or 0
        self._body: _PythonBody | None = None
        self._keep: tuple[Any, ...] = ()
        self._rows: int | None = None
        if type(body) is NativeFunction or is_native(body):
            self._bind(native(body), items, args)
        elif callable(body):
            self._body = _PythonBody(body, check_python_args(args))
            cdata.call.function = _RUN_PYTHON
            cdata.call.integers[2], cdata.call.integers[3] = id(self._body), interpreter.ADDRESS
            cdata.call.integers[4] = is_unsigned(items)
            cdata.call.kind = lib.KT_RESULT_INTEGER
            cdata.failure = 0xFFFFFFFF
        else:
            raise TypeError(f"body must be a native function or callable, not {type(body).__name__}")
        fill_range(cdata, items)
        self.count: int = cdata.count
        self._cancel = cancel
        if cancel is not None:
            if not isinstance(cancel, CancelToken):
                raise TypeError(f"cancel must be a CancelToken, not {type(cancel).__name__}")
            cdata.cancel = cancel.cdata

    def _bind(self, function: NativeFunction, items: range, args: tuple[Any, ...]) -> None:
        """Fills in the call, and keeps its arguments alive."""
        check_body(function)
        cdata, plain = self._cdata, args
        for arg in args:
            if isinstance(arg, PER_LOOP):
                plain = resolve_per_worker(cdata, function, args)
                break
        self._rows = min((arg.rows for arg in args if isinstance(arg, PerWorker)), default=None)
        if self._rows is not None:
            self._check_rows(self._rows)
            # So the engine admits no more workers if the pool is resized between the check and the run.
            cdata.workers = min(self._rows, cdata.workers or self._rows)
        cdata.failure = failure_mask(function)
        self._keep = (function, function.fill(_buffer(cdata), (items.start, items.stop, *plain)), args)

    def _check_rows(self, rows: int) -> None:
        wanted = self._most or self._handle.workers
        if rows < wanted:
            raise ValueError(f"PerWorker has {rows} rows for {wanted} workers: make it larger, or pass workers=")

    def __call__(self, timeout: float | None = None) -> None:
        """Runs the loop. For the exceptions see `Pool.parallel_for`; also:

        Raises:
            ThreadStateError: the loop runs already, in another thread or around a chunk of its own.
            ValueError: the pool has more workers than a `PerWorker` has rows, as after a resize.
        """
        if self._rows is not None:
            self._check_rows(self._rows)
        if self._body is not None:
            here.is_attached = True  # the caller runs chunks, too, and is no thread of the pool
        limit = deadline.left_ns(deadline.after(timeout))
        if self._body is not None:
            self._run_python(self._body, limit)
        elif (code := _run(self._handle.open_cdata(), self._cdata, limit, RAISED)) != 0:
            raise native_failure(self._keep[0]) if code == -errno.EIO else self._error(code, _raised)

    def _run_python(self, body: _PythonBody, limit: int) -> None:
        raised: list[BaseException] = []  # this run's own: other threads may run the loop before this one reads it
        at = _cast(_OBJECT, id(raised))
        code = lib.kt_python_run_body(self._handle.open_cdata(), self._cdata, limit, at, _cast(_OBJECT, id(body)))
        if code == -errno.EIO:
            ending = "the interpreter is ending: it runs no more Python bodies of parallel loops"
            raise raised.pop() if raised else ThreadStateError(ending)
        if code != 0:
            raise self._error(code, raised)

    def _error(self, code: int, raised: list[BaseException]) -> BaseException:
        if code == -errno.EBUSY:
            return ThreadStateError("this loop runs already: prepare another one for each thread that calls it")
        return stopped_error(self._handle, code, raised)

    @property
    def took_part(self) -> int:
        """How many workers the last run had, its caller included."""
        return int(self._cdata.took_part)

    def __repr__(self) -> str:
        return f"<Loop over {self.count} items>"


def stopped_error(handle: PoolHandle, code: int, raised: list[BaseException] = _raised) -> BaseException:
    """The exception for the calling thread's last loop, which stopped before its end though no chunk has failed."""
    cdata = lib.kt_python_failed_loop()
    done = f"{cdata.done} of {cdata.count} items were done"
    if code == -errno.EINTR:
        error = raised.pop() if raised else KeyboardInterrupt()
        error.add_note(f"the parallel loop was stopped with {cdata.done} of {cdata.count} items done")
        return error
    if code == -errno.ETIMEDOUT:
        return LoopTimeoutError(f"the parallel loop was not done in time: {done}", cdata.done, cdata.count)
    if code == -errno.ECANCELED:
        return LoopCancelledError(f"the parallel loop was cancelled: {done}", cdata.done, cdata.count)
    return handle.error_of(-code)


def native_failure(function: NativeFunction) -> NativeError:
    """The exception for the calling thread's last loop, whose native body has returned a failure."""
    cdata = lib.kt_python_failed_loop()
    begin, end = cdata.failed_begin, cdata.failed_end
    if not function.parsed.parameters[0].signed:
        begin, end = begin % (1 << 64), end % (1 << 64)
    return NativeError(
        function.name,
        function.read(cdata.failed_result),
        begin,
        end,
        errno=cdata.failed_errno,
    )
