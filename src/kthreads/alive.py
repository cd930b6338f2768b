"""The threads that were started and are not known to have ended, and what becomes of them when the interpreter ends.

Being entered here keeps a thread's arguments alive, whatever becomes of the Thread object.
"""

from __future__ import annotations

import atexit
import threading
from typing import TYPE_CHECKING

from kthreads import interop
from kthreads._native import ffi, lib

if TYPE_CHECKING:
    from kthreads.thread import Thread

__all__ = ["enter", "leave", "sweep"]

_LEAST = 64

_running: set[Thread] = set()
_sweep_at = _LEAST


def enter(thread: Thread) -> None:
    """Before the start; sweeps each time the number has doubled, so that a start costs little."""
    if len(_running) >= _sweep_at:
        sweep()
    _running.add(thread)


leave = _running.discard


def sweep() -> None:
    """Lets go of the threads that have ended and that nobody joined."""
    global _sweep_at
    for thread in list(_running):
        thread._ended()
    _sweep_at = max(_LEAST, 2 * len(_running))


def _join_all() -> None:
    current = threading.current_thread()
    # A thread that is about to start is not alive yet; in a forked child it never will be.
    while waiting := [thread for thread in list(_running) if not thread.daemon and thread.is_alive()]:
        if waiting == [current]:
            break
        for thread in waiting:
            if thread is not current:
                thread.join()


def _keep_what_runs() -> None:
    """Daemon threads go on while the interpreter goes; what they use must not go with it."""
    for thread in list(_running):
        if thread.is_alive():
            lib.kt_python_keep(ffi.cast("void *", id(thread)))


interop.at_shutdown(_join_all)
atexit.register(_keep_what_runs)
