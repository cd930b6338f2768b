"""Parallel loops: a body, a range and arguments, as the engine runs them."""

from __future__ import annotations

import errno
import os
import struct
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kthreads._native import ffi, lib
from kthreads.cancel import CancelToken
from kthreads.convert import INTEGERS_AT
from kthreads.errors import LoopCancelledError, LoopTimeoutError, NativeError, ThreadStateError
from kthreads.native import NativeFunction, is_native, native
from kthreads.perworker import WORKER_INDEX, PerWorker
from kthreads.thread import slice_until

if TYPE_CHECKING:
    from kthreads.pool import Pool

__all__ = ["Loop", "check_range", "run_plain"]

_LOOP = ffi.typeof("kt_loop *")
_SCHEDULES = {"dynamic": lib.KT_SCHEDULE_DYNAMIC, "static": lib.KT_SCHEDULE_STATIC}
_RUN_PYTHON = ffi.cast("kt_function", ffi.addressof(lib, "kt_python_chunk"))
_SLICE_NS = 40_000_000
_new, _run, _buffer = ffi.new, lib.kt_pool_run, ffi.buffer
_ONE_WORKER_INDEX = type(WORKER_INDEX)
_SPECIAL = (PerWorker, CancelToken, _ONE_WORKER_INDEX)

_generation = 1  # of the process: a loop that runs in the parent does not in a forked child


def _count_fork() -> None:
    global _generation
    _generation += 1


os.register_at_fork(after_in_child=_count_fork)


class _PythonBody:
    """A Python callable as the body of a loop: the first exception stops it."""

    __slots__ = ("args", "body", "error")

    def __init__(self, body: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.body = body
        self.args = args
        self.error: BaseException | None = None

    def __call__(self, begin: int, end: int) -> bool:
        try:
            self.body(begin, end, *self.args)
        except BaseException as error:
            if self.error is None:
                self.error = error
            return True
        return False


class Loop:
    """A parallel loop with its arguments converted, ready to be run any number of times. Made by `Pool.prepare`.

    Called, it runs, and returns when all chunks are done. The arguments stay alive, and buffers locked against
    resizing, as long as the loop lives.
    """

    __slots__ = ("_body", "_cancel", "_cdata", "_keep", "_pool", "_running", "count")

    def __init__(
        self,
        pool: Pool,
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
        self._pool = pool
        self._running = 0
        if schedule != "dynamic":
            cdata.schedule = _check_schedule(schedule)
        if grain is not None:
            cdata.grain = _check_positive("grain", grain)
        if workers is not None:
            cdata.workers = _check_positive("workers", workers)
        self._body: _PythonBody | None = None
        self._keep: tuple[Any, ...] = ()
        if type(body) is NativeFunction or is_native(body):
            self._keep = _bind(cdata, native(body), items, args, workers or pool.workers)
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

    @classmethod
    def of_running(cls, pool: Pool, function: NativeFunction, cdata: Any, keep: Any) -> Loop:
        """For a loop that runs already in memory of somebody else's."""
        loop = cls.__new__(cls)
        loop._pool, loop._cdata, loop._keep, loop._body = pool, cdata, (function, keep), None
        loop.count = cdata.count
        return loop

    def __call__(self, timeout: float | None = None) -> None:
        """Runs the loop. For the exceptions see `Pool.parallel_for`."""
        if self._running:
            self._check_idle()
        self._running = _generation
        try:
            engine = self._pool._engine()
            if timeout is None and (code := _run(engine, self._cdata, _SLICE_NS)) == 0:
                return
            self._go_on(code if timeout is None else -errno.ETIMEDOUT, timeout)
        except BaseException as exception:
            self._abandon(exception)
            raise
        finally:
            self._running = 0

    def _check_idle(self) -> None:
        if self._running == _generation:
            raise ThreadStateError("this loop runs already: prepare another one for each thread that calls it")
        self._cdata.phase = 0  # it ran when the parent of this process forked

    def _go_on(self, code: int, timeout: float | None) -> None:
        """Runs the loop to its end, and looks for signals and at the time in between."""
        deadline = None if timeout is None else time.monotonic_ns() + max(0, int(timeout * 1e9))
        engine, cdata = self._pool._handle, self._cdata
        timed_out = False
        while code == -errno.ETIMEDOUT:
            code = _run(engine, cdata, slice_until(None if timed_out else deadline))
            if code == -errno.ETIMEDOUT and deadline is not None and time.monotonic_ns() >= deadline:
                timed_out = True
                lib.kt_loop_stop(cdata)
        self._finish(code, timed_out)

    def _abandon(self, exception: BaseException) -> None:
        """After an exception, of a signal handler perhaps: waits for the chunks that run, as they use memory of ours,
        whatever signals come."""
        if not self._cdata.phase:
            return
        lib.kt_python_loop_end(self._pool._handle, self._cdata)
        exception.add_note(f"the parallel loop was stopped with {self._cdata.done} of {self.count} items done")

    def _finish(self, code: int, timed_out: bool) -> None:
        cdata = self._cdata
        if code == 0:
            return
        if code == -errno.EIO:
            raise self._failure()
        if code != -errno.ECANCELED:
            raise self._pool._spec.thread.error(-code)
        done = f"{cdata.done} of {cdata.count} items were done"
        if timed_out:
            raise LoopTimeoutError(f"the parallel loop was not done in time: {done}", cdata.done, cdata.count)
        raise LoopCancelledError(f"the parallel loop was cancelled: {done}", cdata.done, cdata.count)

    def _failure(self) -> BaseException:
        cdata, body = self._cdata, self._body
        if body is not None:
            error, body.error = body.error, None
            return error or ThreadStateError("the interpreter ends: it runs no body of a parallel loop any more")
        function = self._keep[0]
        return NativeError(
            function.name,
            function.read(cdata.failed_result),
            cdata.failed_begin,
            cdata.failed_end,
            errno=cdata.failed_errno,
        )

    @property
    def took_part(self) -> int:
        """How many workers took part in the last run, the caller included."""
        return int(self._cdata.took_part)

    def __repr__(self) -> str:
        return f"<Loop over {self.count} items>"


# ---- The way of most loops -----------------------------------------------------------------------------------------------

_BOUNDS_AT: int = ffi.offsetof("kt_loop", "begin")
_pack_bounds = struct.Struct("<qqqQ").pack_into  # begin, end, step and count
_SPARES = 8


def run_plain(pool: Pool, body: NativeFunction, count: int, args: tuple[Any, ...]) -> bool:
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
    try:
        if (code := _run(pool._engine(), cdata, _SLICE_NS)) != 0:
            Loop.of_running(pool, body, cdata, keep)._go_on(code, None)
    except BaseException as exception:
        Loop.of_running(pool, body, cdata, keep)._abandon(exception)
        raise
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


def _bind(cdata: Any, function: NativeFunction, items: range, args: tuple[Any, ...], workers: int) -> tuple[Any, ...]:
    """Fills in the call, and returns what must stay alive."""
    _check_body(function)
    plain = args
    for arg in args:
        if isinstance(arg, _SPECIAL):
            plain = _without_special(cdata, function, args, workers)
            break
    cdata.call = function.template
    cdata.failure = _failure_of(function)
    return function, function.fill(_buffer(cdata), (items.start, items.stop, *plain)), args


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


def _without_special(cdata: Any, function: NativeFunction, args: tuple[Any, ...], workers: int) -> tuple[Any, ...]:
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
            if arg.rows < workers:
                raise ValueError(
                    f"PerWorker has {arg.rows} rows for {workers} workers: make it larger, or pass workers="
                )
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
