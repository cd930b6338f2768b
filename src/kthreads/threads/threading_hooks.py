"""Makes a thread that the standard threading module did not start known to it.

The only file that uses internals of threading: its table of active threads, the methods that it calls in a forked child,
and the hooks for the end of the interpreter (Lib/threading.py, CPython 3.11 to 3.14).
"""

from __future__ import annotations

import _thread
import sys
import threading
from collections.abc import Callable
from typing import Any

_active: dict[int, threading.Thread] = threading._active  # type: ignore[attr-defined]
_invoke_excepthook: Callable[[threading.Thread], None] = threading._make_invoke_excepthook()  # type: ignore[attr-defined]


def _active_lock() -> Any:
    """The lock of the table. Read it anew each time: threading replaces it in a forked child."""
    return threading._active_limbo_lock  # type: ignore[attr-defined]


def add_active(thread: threading.Thread) -> None:
    """Adds the calling thread to threading's table: threading.current_thread() then returns `thread` on it."""
    with _active_lock():
        _active[threading.get_ident()] = thread
    if (trace := threading.gettrace()) is not None:
        sys.settrace(trace)
    if (profile := threading.getprofile()) is not None:
        sys.setprofile(profile)


def remove_active() -> None:
    """Removes the calling thread from threading's table."""
    with _active_lock():
        _active.pop(threading.get_ident(), None)


def report_exception(thread: threading.Thread) -> None:
    """Passes the exception that is being handled to threading.excepthook, as threading does."""
    _invoke_excepthook(thread)


def at_shutdown(function: Callable[[], None]) -> None:
    """Calls `function` when the interpreter begins to end, while threads can still run Python."""
    threading._register_atexit(function)  # type: ignore[attr-defined]


def become_main(thread: Any) -> None:
    """Gives the only thread of a forked child the attributes that threading expects of its main thread at exit."""
    thread._is_stopped = False  # up to 3.12: a lock that is held until the thread ends
    thread._tstate_lock = threading.Lock()
    thread._tstate_lock.acquire()
    if hasattr(_thread, "_make_thread_handle"):  # since 3.13: a handle of a thread that has not ended
        handle = _thread._make_thread_handle(threading.get_ident())
        thread._handle = thread._os_thread_handle = handle
