"""Deadlines: the one place that reads a timeout, and the slices in which the main thread waits.

A deadline is an int of `time.monotonic_ns`, or None for a wait without a limit.
"""

from __future__ import annotations

import math
import threading
import time

__all__ = ["FOREVER_NS", "SLICE_NS", "after", "has_passed", "left_ns", "left_seconds", "slice_ns"]

SLICE_NS = 40_000_000
"""How long the main thread waits in C before it looks for signals: one that arrives just before the wait begins does not
interrupt it."""
FOREVER_NS = -1
"""What the engine takes for a wait without a limit."""

_LONGEST = float(1 << 32)  # seconds, 136 years: more is no limit


def after(timeout: float | None) -> int | None:
    """The deadline that is so many seconds from now.

    Args:
        timeout: None, infinity, and what is longer than a machine runs are no limit; less than 0 is 0.

    Raises:
        TypeError, ValueError: it is not a number, such as NaN.
    """
    if timeout is None:
        return None
    try:
        if math.isnan(timeout):
            raise ValueError("timeout must be a number of seconds, not NaN")
    except TypeError:
        raise TypeError(f"timeout must be a number of seconds or None, not {type(timeout).__name__}") from None
    except OverflowError:  # an int beyond all floats
        timeout = math.inf if timeout > 0 else 0
    if timeout >= _LONGEST:
        return None
    return time.monotonic_ns() + (int(timeout * 1e9) if timeout > 0 else 0)


def has_passed(deadline: int | None) -> bool:
    """Whether it is over."""
    return deadline is not None and time.monotonic_ns() >= deadline


def left_ns(deadline: int | None) -> int:
    """Nanoseconds until then, 0 when it is over; FOREVER_NS without a limit."""
    return FOREVER_NS if deadline is None else max(0, deadline - time.monotonic_ns())


def left_seconds(deadline: int | None) -> float | None:
    """Seconds until then, 0 when it is over; None without a limit."""
    return None if deadline is None else max(0, deadline - time.monotonic_ns()) / 1e9


def slice_ns(deadline: int | None) -> int:
    """How many nanoseconds to wait in C before looking again, for signals on the main thread."""
    left = left_ns(deadline)
    if threading.get_ident() != threading.main_thread().ident:
        return left
    return SLICE_NS if left == FOREVER_NS else min(left, SLICE_NS)
