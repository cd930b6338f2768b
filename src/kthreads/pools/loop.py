"""Parallel loops: a body, a range and arguments, as the engine runs them."""

from __future__ import annotations

import errno
import struct
import sys
from collections.abc import Callable
from typing import Any

from kthreads import deadline
from kthreads._native import ffi, lib
from kthreads.errors import LoopCancelledError, LoopTimeoutError, NativeError, ThreadStateError
from kthreads.functions.arguments import INTEGERS_AT
from kthreads.functions.function import NativeFunction, is_native, native
from kthreads.pools.cancel import CancelToken
from kthreads.pools.handle import Engine
from kthreads.pools.per_worker import WORKER_INDEX, PerWorker

__all__ = ["Loop", "check_range", "run_plain"]

_LOOP = ffi.typeof("kt_loop *")
_SCHEDULES = {"dynamic": lib.KT_SCHEDULE_DYNAMIC, "static": lib.KT_SCHEDULE_STATIC}
_RUN_PYTHON = ffi.cast("kt_function", ffi.addressof(lib, "kt_python_chunk"))
_new, _run, _buffer = ffi.new, lib.kt_python_run_loop, ffi.buffer
_ONE_WORKER_INDEX = type(WORKER_INDEX)
_SPECIAL = (PerWorker, CancelToken, _ONE_WORKER_INDEX)

# What signal handlers raise while the main thread is in a loop, which nobody else has them run in.
_raised: list[BaseException] = []
_RAISED = ffi.cast("void *", id(_raised))


class _PythonBody:
    """A Python callable as the body of a loop: the first exception stops it.

    Attributes:
        error: that exception, set by the engine; whatever raises it, a signal handler before the first instruction too.
    """

    __slots__ = ("args", "body", "error")

    def __init__(self, body: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.body = body
        self.args = args
        self.error: BaseException | None = None

    def __call__(self, begin: int, end: int) -> None:
        self.body(begin, end, *self.args)


class Loop:
    """A parallel loop with its arguments converted, ready to be run any number of times. Made by `Pool.prepare`.

    Called, it runs, and returns when all chunks are done. The arguments stay alive, and buffers locked against
    resizing, as long as the loop lives.
    """

    __slots__ = ("_body", "_cancel", "_cdata", "_engine", "_keep", "_most", "_rows", "count")

    def __init__(
        self,
        engine: Engine,
        body: Any,
        n_or_range: int | range,
        args: tuple[Any, ...],
        grain: int | None,
        schedule: str,
        workers: int | None,
        cancel: CancelToken | None,
    ) -> None:
        items = n_or_range if type(n_or_range) is range else check_range(n_or_range)
        cdata = self._cdata = _new(_LOOP)
        self._engine = engine
        if schedule != "dynamic":
            cdata.schedule = _check_schedule(schedule)
        if grain is not None:
            cdata.grain = _check_positive("grain", grain)
        self._most = None if workers is None else _check_positive("workers", workers)
        cdata.workers = self._most or 0
        self._body: _PythonBody | None = None
        self._keep: tuple[Any, ...] = ()
        self._rows: int | None = None
        if type(body) is NativeFunction or is_native(body):
            self._bind(native(body), items, args)
        elif callable(body):
            self._body = _PythonBody(body, _for_python(args))
            cdata.call.function = _RUN_PYTHON
            cdata.call.integers[2] = id(self._body)
            cdata.call.kind = lib.KT_RESULT_INTEGER
            cdata.failure = 0xFFFFFFFF
        else:
            raise TypeError(f"body must be a native function or callable, not {type(body).__name__}")
        _fill_range(cdata, items)
        self.count: int = cdata.count
        self._cancel = cancel
        if cancel is not None:
            if not isinstance(cancel, CancelToken):
                raise TypeError(f"cancel must be a CancelToken, not {type(cancel).__name__}")
            cdata.cancel = cancel.cdata

    def _bind(self, function: NativeFunction, items: range, args: tuple[Any, ...]) -> None:
        """Fills in the call, and keeps what must stay alive."""
        _check_body(function)
        cdata, plain = self._cdata, args
        for arg in args:
            if isinstance(arg, _SPECIAL):
                plain = _without_special(cdata, function, args)
                break
        self._rows = min((arg.rows for arg in args if isinstance(arg, PerWorker)), default=None)
        if self._rows is not None:
            self._check_rows(self._rows)
            # The engine lets no more workers in, should the pool be resized between the check and the run.
            cdata.workers = min(self._rows, cdata.workers or self._rows)
        cdata.call = function.template
        cdata.failure = _failure_of(function)
        self._keep = (function, function.fill(_buffer(cdata), (items.start, items.stop, *plain)), args)

    def _check_rows(self, rows: int) -> None:
        wanted = self._most or self._engine.workers
        if rows < wanted:
            raise ValueError(f"PerWorker has {rows} rows for {wanted} workers: make it larger, or pass workers=")

    def __call__(self, timeout: float | None = None) -> None:
        """Runs the loop. For the exceptions see `Pool.parallel_for`; also:

        Raises:
            ThreadStateError: it is being run already, by another thread or by a chunk of its own.
            ValueError: the pool has more workers than a `PerWorker` has rows, as after a resize.
        """
        if self._rows is not None:
            self._check_rows(self._rows)
        limit = deadline.left_ns(deadline.after(timeout))
        if (code := _run(self._engine.taking(), self._cdata, limit, _RAISED)) != 0:
            raise self._failure(code)

    def _failure(self, code: int) -> BaseException:
        cdata = self._cdata
        if code == -errno.EIO:
            return self._failure_of_body()
        if code == -errno.EBUSY:
            return ThreadStateError("this loop runs already: prepare another one for each thread that calls it")
        return _stopped(self._engine, cdata, code)

    def _failure_of_body(self) -> BaseException:
        cdata, body = self._cdata, self._body
        if body is not None:
            error, body.error = body.error, None
            return error or ThreadStateError("the interpreter ends: it runs no body of a parallel loop any more")
        return _native_failure(self._keep[0], cdata)

    @property
    def took_part(self) -> int:
        """How many workers took part in the last run, the caller included."""
        return int(self._cdata.took_part)

    def __repr__(self) -> str:
        return f"<Loop over {self.count} items>"


def _stopped(engine: Engine, cdata: Any, code: int) -> BaseException:
    """The exception for a loop that did not come to its end, though no chunk has failed."""
    done = f"{cdata.done} of {cdata.count} items were done"
    if code == -errno.EINTR:
        error = _raised.pop() if _raised else KeyboardInterrupt()
        error.add_note(f"the parallel loop was stopped with {cdata.done} of {cdata.count} items done")
        return error
    if code == -errno.ETIMEDOUT:
        return LoopTimeoutError(f"the parallel loop was not done in time: {done}", cdata.done, cdata.count)
    if code == -errno.ECANCELED:
        return LoopCancelledError(f"the parallel loop was cancelled: {done}", cdata.done, cdata.count)
    return engine.refused(-code)


def _native_failure(function: NativeFunction, cdata: Any) -> NativeError:
    return NativeError(
        function.name,
        function.read(cdata.failed_result),
        cdata.failed_begin,
        cdata.failed_end,
        errno=cdata.failed_errno,
    )


# ---- The way of most loops -----------------------------------------------------------------------------------------------

_BOUNDS_AT: int = ffi.offsetof("kt_loop", "begin")
_pack_bounds = struct.Struct("<qqqQ").pack_into  # begin, end, step and count
_SPARES = 8


def run_plain(engine: Engine, body: NativeFunction, count: int, args: tuple[Any, ...]) -> bool:
    """Runs a loop over `count` items that has no options and only arguments of the usual kinds, at a third of what a
    Loop costs. Returns False, having done nothing, for one that is not so or is wrong: a Loop can tell.
    """
    spares = body.spares
    try:
        cdata, memory = spares.pop()
    except IndexError:
        if (spare := _make_spare(body)) is None:
            return False
        cdata, memory = spare
    keep: list[Any] = []
    plan = body.plan
    try:
        plan.pack_into(memory, INTEGERS_AT, *plan.words((0, count, *args), keep))
        _pack_bounds(memory, _BOUNDS_AT, 0, count, 1, count)
    except (struct.error, TypeError, ValueError, OverflowError, IndexError):
        return False
    if (code := _run(engine.taking(), cdata, deadline.FOREVER_NS, _RAISED)) != 0:
        raise _native_failure(body, cdata) if code == -errno.EIO else _stopped(engine, cdata, code)
    if len(spares) < _SPARES:
        spares.append((cdata, memory))
    return True


def _make_spare(body: NativeFunction) -> tuple[Any, Any] | None:
    """Memory for a loop of this function, if it can be a body."""
    try:
        _check_body(body)
    except TypeError:
        return None
    cdata = _new(_LOOP)
    cdata.call = body.template
    cdata.failure = _failure_of(body)
    return cdata, _buffer(cdata)


# ---- Arguments ---------------------------------------------------------------------------------------------------------


def _check_body(function: NativeFunction) -> None:
    parameters = function.parsed.parameters
    if len(parameters) < 2 or parameters[0].kind != "integer" or parameters[1].kind != "integer":
        raise TypeError(
            f"{function.name} ({function.signature}) cannot be the body of a parallel loop: its first two parameters must "
            "be integers, which are given the begin and the end of a chunk"
        )


def _failure_of(function: NativeFunction) -> int:
    """The bits of its result that say, when not all 0, that it failed."""
    result = function.parsed.result
    return (1 << 8 * result.size) - 1 if result.kind == "integer" else 0


def _without_special(cdata: Any, function: NativeFunction, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments as worker 0 gets them; how they grow from worker to worker goes into `strides`."""
    plain = []
    parameters = function.parsed.parameters
    for number, arg in enumerate(args, 2):
        if isinstance(arg, (PerWorker, _ONE_WORKER_INDEX)) and number < len(parameters):
            register = sum(parameter.kind != "float" for parameter in parameters[:number])
            if parameters[number].kind == "float":
                raise TypeError(f"{function.name}() argument {number + 1}: {arg!r} cannot be a floating number")
            cdata.strides[register] = arg.row_size if isinstance(arg, PerWorker) else 1
        if isinstance(arg, PerWorker):
            plain.append(arg.array)
        elif isinstance(arg, CancelToken):
            plain.append(arg.cdata)
        else:
            plain.append(0 if isinstance(arg, _ONE_WORKER_INDEX) else arg)
    return tuple(plain)


def _for_python(args: tuple[Any, ...]) -> tuple[Any, ...]:
    for arg in args:
        if isinstance(arg, (PerWorker, _ONE_WORKER_INDEX)):
            raise TypeError(f"{arg!r} is for native bodies: a Python body can use threading.local()")
    return args


def check_range(n_or_range: Any) -> range:
    """The range of a loop.

    Raises:
        TypeError, ValueError: it is neither a count of items nor a range.
    """
    if isinstance(n_or_range, range):
        return n_or_range
    try:
        count = range(n_or_range)
    except TypeError:
        raise TypeError(f"a loop runs over a number of items or a range, not {type(n_or_range).__name__}") from None
    if count.stop < 0:
        raise ValueError(f"the number of items must be 0 or more, not {count.stop}")
    return count


def _fill_range(cdata: Any, items: range) -> None:
    start, stop, step = items.start, items.stop, items.step
    count = len(items) if -sys.maxsize < start <= stop <= sys.maxsize else _count(items)
    if start >= 1 << 63 or stop >= 1 << 63:  # of an unsigned type
        start, stop = (value - (1 << 64) if value >= 1 << 63 else value for value in (start, stop))
    try:
        cdata.begin, cdata.end, cdata.step, cdata.count = start, stop, step, count
    except OverflowError:
        raise OverflowError(f"{items} has bounds of more than 64 bits") from None


def _count(items: range) -> int:
    span = items.stop - items.start
    return max(0, -(-span // items.step))


def _check_positive(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not 1 <= value < 1 << 32:
        raise ValueError(f"{name} must be 1 or more, not {value}")
    return value


def _check_schedule(schedule: Any) -> int:
    if schedule not in _SCHEDULES:
        raise ValueError(f"schedule must be {' or '.join(map(repr, _SCHEDULES))}, not {schedule!r}")
    return int(_SCHEDULES[schedule])
