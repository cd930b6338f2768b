"""The threads that were started and are not known to have ended, and what becomes of them when the interpreter ends.

Being entered here keeps a thread's arguments alive, whatever becomes of the Thread object.
"""

from __future__ import annotations

import threading
from typing import Protocol

from kthreads._native import ffi, lib

__all__ = ["enter", "join_all", "keep_what_runs", "leave", "sweep"]

_LEAST = 64


class Registered(Protocol):
    """What the registry needs of a thread."""

    @property
    def daemon(self) -> bool: ...
    def is_alive(self) -> bool: ...
    def has_ended(self) -> bool: ...
    def join(self) -> None: ...


_running: set[Registered] = set()
_sweep_at = _LEAST


def enter(thread: Registered) -> None:
    """Before the start; sweeps each time the number has doubled, so that a start costs little."""
    if len(_running) >= _sweep_at:
        sweep()
    _running.add(thread)


leave = _running.discard


def sweep() -> None:
    """Lets go of the threads that have ended and that nobody joined."""
    global _sweep_at
    for thread in _running.copy():
        if thread.has_ended():
            leave(thread)  # again, where an exception has cut the end short
    _sweep_at = max(_LEAST, 2 * len(_running))


def join_all() -> None:
    """As the interpreter begins to end: waits for all threads that are not daemons."""
    current: object = threading.current_thread()
    # A thread that is about to start is not alive yet; in a forked child it never will be.
    while waiting := [thread for thread in _running.copy() if not thread.daemon and thread.is_alive()]:
        if waiting == [current]:
            break
        for thread in waiting:
            if thread is not current:
                thread.join()


def keep_what_runs() -> None:
    """Daemon threads go on while the interpreter goes; what they use must not go with it."""
    for thread in _running.copy():
        if thread.is_alive():
            lib.kt_python_keep(ffi.cast("void *", id(thread)))
