"""The threads that were started and are not known to have ended, and their end when the interpreter ends.

A registered thread stays alive, with its arguments, also when the program holds no reference to the Thread object.
"""

from __future__ import annotations

import threading
from typing import Protocol

from kthreads import deadline, interpreter, lifecycle
from kthreads._native import ffi, lib
from kthreads.doubling import DoublingThreshold
from kthreads.threads import threading_hooks

__all__ = [
    "join_at_exit", "keep_running_at_exit", "register", "registered", "reset_after_fork", "unregister", "unregister_ended",
]  # fmt: skip


class Registered(Protocol):
    """The methods of a thread that the registry uses."""

    _kt_daemon: bool

    def kt_is_alive(self) -> bool: ...
    def kt_has_ended(self) -> bool: ...
    def kt_join(self) -> None: ...


registered: dict[int, Registered] = {}  # by their id(): a subclass may have equal objects
_threshold = DoublingThreshold(64)


def register(thread: Registered) -> None:
    """Adds a thread that is about to start. Each time their number has doubled, threads that have ended are removed."""
    if len(registered) >= _threshold.size:
        unregister_ended()
    if not thread._kt_daemon:
        threading_hooks.expect_at_exit()
    registered[id(thread)] = thread


def unregister(thread: object) -> None:
    """Removes a thread, if it is there."""
    registered.pop(id(thread), None)


def unregister_ended() -> None:
    """Removes the threads that have ended and that were not joined."""
    for thread in registered.copy().values():
        if thread.kt_has_ended():
            unregister(thread)  # kt_has_ended() did so already, unless an exception interrupted it
    _threshold.reset(len(registered))


def join_at_exit() -> bool:
    """Waits for the threads that are not daemons, as the interpreter ends. Returns whether there were any."""
    current: object = threading.current_thread()
    # A thread that is about to start is not alive yet; in a forked child it never will be.
    waiting = [thread for thread in registered.copy().values() if not thread._kt_daemon and thread.kt_is_alive()]
    waiting = [thread for thread in waiting if thread is not current]
    for thread in waiting:
        thread.kt_join()
    # A Python thread is no longer registered while it takes its thread state apart, which may run finalizers.
    while lib.kt_python_await_threads(interpreter.CDATA, deadline.SLICE_NS) != 0:
        pass
    return bool(waiting)


@lifecycle.at_its_end.add
def keep_running_at_exit() -> None:
    """Keeps the objects of the threads that still run, and their arguments, when the interpreter ends. Daemon threads go on
    running until the process ends, and use them."""
    for thread in registered.copy().values():
        if thread.kt_is_alive():
            lib.kt_python_keep(ffi.cast("void *", id(thread)))


@lifecycle.in_a_forked_child.add
def reset_after_fork() -> None:
    """In a forked child: only the thread that forked is there, and it is the main thread now."""
    lib.kt_python_forget_threads(interpreter.CDATA)


threading_hooks.join_at_exit(join_at_exit)
