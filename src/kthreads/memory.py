"""The memory that threads use and leave for the next ones."""

from __future__ import annotations

from typing import NamedTuple

from kthreads._native import ffi, lib
from kthreads.threads.registry import unregister_ended


class Usage(NamedTuple):
    """What the engine holds now."""

    stacks: int
    """Stacks in use."""
    cached: int
    """Stacks kept for the next threads."""
    mapped: int
    """Bytes of address space of the stack arena; only touched pages are memory."""
    parked: int
    """Threads that wait for their next run."""
    detached: int
    """Threads that nobody holds and that have not been recycled yet."""


def usage() -> Usage:
    """What the engine holds now."""
    now = ffi.new("kt_usage *")
    lib.kt_usage_now(now)
    return Usage(now.stacks, now.cached, now.mapped, now.parked, now.detached)


def trim() -> None:
    """Lets go of ended threads, ends all parked ones, and gives cached stacks back to the kernel."""
    unregister_ended()
    lib.kt_trim()


def park_timeout(seconds: float) -> None:
    """How long a thread started with `reuse=True` waits for its next run before it ends; 2 s unless set."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"seconds must be a number, not {type(seconds).__name__}")
    if not 0 <= seconds < 1e9:
        raise ValueError(f"seconds must be from 0 to 1e9, not {seconds}")
    lib.kt_park_timeout(int(seconds * 1e9))
