"""Parallel loops: a body, a range and arguments, as the engine runs them."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from kthreads import deadline
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
    range_of,
    resolve_per_worker,
)
from kthreads.pools.per_worker import PerWorker

__all__ = ["RAISED", "Loop", "native_failure", "stopped_error"]

_LOOP = ffi.typeof("kt_loop *")
_RUN_PYTHON = ffi.cast("kt_function", ffi.addressof(lib, "kt_python_chunk"))
_new, _run, _buffer = ffi.new, lib.kt_python_run_loop, ffi.buffer

# The exception that a signal handler has raised while the main thread runs a loop. Only the main thread runs handlers.
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
            cdata.call.integers[2] = id(self._body)
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
        cdata.call = function.template
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
        limit = deadline.left_ns(deadline.after(timeout))
        if (code := _run(self._handle.open_cdata(), self._cdata, limit, RAISED)) != 0:
            raise self._failure(code)

    def _failure(self, code: int) -> BaseException:
        cdata = self._cdata
        if code == -errno.EIO:
            return self._failure_of_body()
        if code == -errno.EBUSY:
            return ThreadStateError("this loop runs already: prepare another one for each thread that calls it")
        return stopped_error(self._handle, cdata, code)

    def _failure_of_body(self) -> BaseException:
        cdata, body = self._cdata, self._body
        if body is not None:
            error, body.error = body.error, None
            return error or ThreadStateError(
                "the interpreter is ending: it runs no more Python bodies of parallel loops"
            )
        return native_failure(self._keep[0], cdata)

    @property
    def took_part(self) -> int:
        """How many workers the last run had, its caller included."""
        return int(self._cdata.took_part)

    def __repr__(self) -> str:
        return f"<Loop over {self.count} items>"


def stopped_error(handle: PoolHandle, cdata: Any, code: int) -> BaseException:
    """The exception for a loop that stopped before its end, though no chunk has failed."""
    done = f"{cdata.done} of {cdata.count} items were done"
    if code == -errno.EINTR:
        error = _raised.pop() if _raised else KeyboardInterrupt()
        error.add_note(f"the parallel loop was stopped with {cdata.done} of {cdata.count} items done")
        return error
    if code == -errno.ETIMEDOUT:
        return LoopTimeoutError(f"the parallel loop was not done in time: {done}", cdata.done, cdata.count)
    if code == -errno.ECANCELED:
        return LoopCancelledError(f"the parallel loop was cancelled: {done}", cdata.done, cdata.count)
    return handle.error_of(-code)


def native_failure(function: NativeFunction, cdata: Any) -> NativeError:
    """The exception for a native body that has returned a failure."""
    return NativeError(
        function.name,
        function.read(cdata.failed_result),
        cdata.failed_begin,
        cdata.failed_end,
        errno=cdata.failed_errno,
    )
