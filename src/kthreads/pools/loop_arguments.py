"""The arguments of parallel loops: the range, options, and values that differ from worker to worker."""

from __future__ import annotations

from typing import Any

from kthreads._native import lib
from kthreads.functions.function import NativeFunction
from kthreads.pools.cancel import CancelToken
from kthreads.pools.per_worker import WORKER_INDEX, PerWorker

__all__ = [
    "PER_LOOP", "check_body", "check_positive", "check_python_args", "check_schedule", "failure_mask", "fill_range", "is_unsigned",
    "range_of", "resolve_per_worker",
]  # fmt: skip

_SMALL = 1 << 62  # a range between -_SMALL and this has a len()
_SCHEDULES = {"dynamic": lib.KT_SCHEDULE_DYNAMIC, "static": lib.KT_SCHEDULE_STATIC}
_WorkerIndex = type(WORKER_INDEX)
PER_LOOP = (PerWorker, CancelToken, _WorkerIndex)
"""The types of arguments that mean something to a loop alone."""


def check_body(function: NativeFunction) -> None:
    """Raises TypeError if a function cannot be the body of a loop."""
    parameters = function.parsed.parameters
    if len(parameters) < 2 or parameters[0].kind != "integer" or parameters[1].kind != "integer":
        raise TypeError(
            f"{function.name} ({function.signature}) cannot be the body of a parallel loop: its first two parameters must "
            "be integers, which are given the begin and the end of a chunk"
        )


def failure_mask(function: NativeFunction) -> int:
    """The bits of the function's result that, when not all 0, report a failure."""
    result = function.parsed.result
    return (1 << 8 * result.size) - 1 if result.kind == "integer" else 0


def resolve_per_worker(cdata: Any, function: NativeFunction, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments for worker 0. What is added to them for each further worker goes into `strides` of the loop."""
    plain = []
    parameters = function.parsed.parameters
    for number, arg in enumerate(args, 2):
        if isinstance(arg, (PerWorker, _WorkerIndex)) and number < len(parameters):
            register = sum(parameter.kind != "float" for parameter in parameters[:number])
            if parameters[number].kind == "float":
                raise TypeError(f"{function.name}() argument {number + 1}: {arg!r} cannot be a floating number")
            if register >= lib.KT_INTEGER_ARGUMENTS:
                raise TypeError(
                    f"{function.name}() argument {number + 1}: {arg!r} must be one of the first {lib.KT_INTEGER_ARGUMENTS} "
                    "integers and pointers: move it forward in the parameters"
                )
            cdata.strides[register] = arg.row_size if isinstance(arg, PerWorker) else 1
        if isinstance(arg, PerWorker):
            plain.append(arg.array)
        elif isinstance(arg, CancelToken):
            plain.append(arg.cdata)
        else:
            plain.append(0 if isinstance(arg, _WorkerIndex) else arg)
    return tuple(plain)


def check_python_args(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """The arguments of a Python body.

    Raises:
        TypeError: one of them is for native bodies alone.
    """
    for arg in args:
        if isinstance(arg, (PerWorker, _WorkerIndex)):
            raise TypeError(f"{arg!r} is for native bodies: a Python body can use threading.local()")
    return args


def range_of(n_or_range: Any) -> range:
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


def fill_range(cdata: Any, items: range) -> None:
    """Writes a range into a ``kt_loop *``.

    Raises:
        OverflowError: no type of 64 bits holds its bounds.
    """
    start, stop, step = items.start, items.stop, items.step
    count = len(items) if -_SMALL < start <= stop <= _SMALL else _count(items)
    if is_unsigned(items):
        if min(start, stop) < 0 or max(start, stop) >= 1 << 64:
            raise OverflowError(f"no type of 64 bits holds both bounds of {items}")
        start, stop = (value - (1 << 64) if value >= 1 << 63 else value for value in (start, stop))
    try:
        cdata.begin, cdata.end, cdata.step, cdata.count = start, stop, step, count
    except OverflowError:
        raise OverflowError(f"{items} has bounds or a step of more than 64 bits") from None


def is_unsigned(items: range) -> bool:
    """Whether only an unsigned type of 64 bits may hold the bounds of a range."""
    return items.start >= 1 << 63 or items.stop >= 1 << 63


def _count(items: range) -> int:
    span = items.stop - items.start
    return max(0, -(-span // items.step))


def check_positive(name: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if not 1 <= value < 1 << 32:
        raise ValueError(f"{name} must be 1 or more, not {value}")
    return value


def check_schedule(schedule: Any) -> int:
    if schedule not in _SCHEDULES:
        raise ValueError(f"schedule must be {' or '.join(map(repr, _SCHEDULES))}, not {schedule!r}")
    return int(_SCHEDULES[schedule])
