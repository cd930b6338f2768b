"""Deadlines: from a timeout to a point in time, and the slices in which the main thread waits.

A deadline is an int of `time.monotonic_ns`, or None for a wait without a limit.
"""

from __future__ import annotations

import math
import threading
import time

__all__ = ["FOREVER_NS", "SLICE_NS", "after", "has_passed", "left_ns", "seconds", "slice_ns"]

SLICE_NS = 40_000_000
"""How long the main thread waits in C before it runs the handlers of signals, in nanoseconds. A signal interrupts a wait,
except one that arrives just before the wait begins."""
FOREVER_NS = -1
"""The value with which the engine waits without a limit."""

_LONGEST = float(1 << 32)  # seconds, 136 years; a longer timeout is no limit


def seconds(timeout: float | None) -> float | None:
    """A timeout in seconds, 0 or more; None for no limit. Infinity, and a timeout of more than 136 years, are no limit, too.

    Raises:
        TypeError: it is not a number.
        ValueError: it is NaN.
    """
    if timeout is None:
        return None
    if isinstance(timeout, bool | str | bytes | bytearray):
        raise TypeError(f"timeout must be a number of seconds or None, not {type(timeout).__name__}")
    try:
        number = float(timeout)
    except OverflowError:
        number = math.inf if timeout > 0 else 0.0
    except TypeError:
        raise TypeError(f"timeout must be a number of seconds or None, not {type(timeout).__name__}") from None
    if math.isnan(number):
        raise ValueError("timeout must be a number of seconds or None, not NaN")
    return None if number >= _LONGEST else max(number, 0.0)


def after(timeout: float | None) -> int | None:
    """The deadline after this number of seconds from now; None for no limit. Raises as `seconds`."""
    number = seconds(timeout)
    return None if number is None else time.monotonic_ns() + int(number * 1e9)


def has_passed(deadline: int | None) -> bool:
    """Whether a deadline has passed; never for None."""
    return deadline is not None and time.monotonic_ns() >= deadline


def left_ns(deadline: int | None) -> int:
    """Nanoseconds until a deadline, 0 when it has passed; FOREVER_NS without a limit."""
    return FOREVER_NS if deadline is None else max(0, deadline - time.monotonic_ns())


def slice_ns(deadline: int | None) -> int:
    """How many nanoseconds to wait in C: until the deadline, and on the main thread at most for a slice."""
    left = left_ns(deadline)
    if threading.get_ident() != threading.main_thread().ident:
        return left
    return SLICE_NS if left == FOREVER_NS else min(left, SLICE_NS)
