"""The memory of threads: how much is in use, and how much the engine keeps for later threads."""

from __future__ import annotations

from typing import NamedTuple

from kthreads._native import ffi, lib
from kthreads.threads.registry import unregister_ended

__all__ = ["Usage", "park_timeout", "trim", "usage"]


class Usage(NamedTuple):
    """The stacks and threads that the engine has."""

    stacks: int
    """Stacks in use."""
    cached: int
    """Free stacks that are kept for later threads."""
    mapped: int
    """Address space of the stack arena in bytes; only pages that were touched use memory."""
    parked: int
    """Parked threads, which wait for their next run."""
    detached: int
    """Threads whose handle was freed and whose stack is not recycled yet."""


def usage() -> Usage:
    """The stacks and threads that the engine has now."""
    now = ffi.new("kt_usage *")
    lib.kt_usage_now(now)
    return Usage(now.stacks, now.cached, now.mapped, now.parked, now.detached)


def trim() -> None:
    """Releases the memory of ended threads, ends all parked threads, and returns cached stacks to the kernel."""
    unregister_ended()
    lib.kt_trim()


def park_timeout(seconds: float) -> None:
    """Sets how long a thread that was started with `reuse=True` waits for its next run before it ends; 2 s unless set.

    Args:
        seconds: from 0 to 1e9.

    Raises:
        TypeError, ValueError: it is not such a number.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"seconds must be a number, not {type(seconds).__name__}")
    if not 0 <= seconds < 1e9:
        raise ValueError(f"seconds must be from 0 to 1e9, not {seconds}")
    lib.kt_park_timeout(int(seconds * 1e9))
