"""The threads that were started and are not known to have ended, and their end when the interpreter ends.

A registered thread stays alive, with its arguments, also when the program holds no reference to the Thread object.
"""

from __future__ import annotations

import threading
from typing import Protocol

from kthreads._native import ffi, lib
from kthreads.doubling import DoublingThreshold

__all__ = ["join_at_exit", "keep_running_at_exit", "register", "registered", "unregister", "unregister_ended"]


class Registered(Protocol):
    """The methods of a thread that the registry uses."""

    @property
    def daemon(self) -> bool: ...
    def is_alive(self) -> bool: ...
    def kt_has_ended(self) -> bool: ...
    def join(self) -> None: ...


registered: set[Registered] = set()
_threshold = DoublingThreshold(64)


def register(thread: Registered) -> None:
    """Adds a thread that is about to start. Each time their number has doubled, threads that have ended are removed."""
    if len(registered) >= _threshold.size:
        unregister_ended()
    registered.add(thread)


unregister = registered.discard


def unregister_ended() -> None:
    """Removes the threads that have ended and that were not joined."""
    for thread in registered.copy():
        if thread.kt_has_ended():
            unregister(thread)  # kt_has_ended() did so already, unless an exception interrupted it
    _threshold.reset(len(registered))


def join_at_exit() -> None:
    """Waits for all threads that are not daemons, as the interpreter begins to end."""
    current: object = threading.current_thread()
    # A thread that is about to start is not alive yet; in a forked child it never will be.
    while waiting := [thread for thread in registered.copy() if not thread.daemon and thread.is_alive()]:
        if waiting == [current]:
            break
        for thread in waiting:
            if thread is not current:
                thread.join()


def keep_running_at_exit() -> None:
    """Keeps the objects of the threads that still run, and their arguments, when the interpreter ends. Daemon threads go on
    running until the process ends, and use them."""
    for thread in registered.copy():
        if thread.is_alive():
            lib.kt_python_keep(ffi.cast("void *", id(thread)))
