"""Makes a thread that the standard threading module did not start known to it.

The only file that uses internals of threading: its tables of threads, the methods that it calls in a forked child, and the
hooks for the end of the interpreter (Lib/threading.py, CPython 3.11 to 3.14).
"""

from __future__ import annotations

import _thread
import functools
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_active: dict[int, threading.Thread] = threading._active  # type: ignore[attr-defined]
_limbo: dict[threading.Thread, threading.Thread] = threading._limbo  # type: ignore[attr-defined]
_invoke_excepthook: Callable[[threading.Thread], None] = threading._make_invoke_excepthook()  # type: ignore[attr-defined]
_new_name: Callable[[str], str] = threading._newname  # type: ignore[attr-defined]
_set_os_name: Callable[[str], None] | None = getattr(_thread, "set_name", None)  # since 3.14
_daemons_allowed: Callable[[], bool] = getattr(threading, "_daemon_threads_allowed", lambda: True)  # since 3.12


def default_name(target: Any) -> str:
    """The name that threading gives a thread without one, such as "Thread-1 (print)"."""
    name = _new_name("Thread-%d")
    function = getattr(target, "__name__", None)
    return name if function is None else f"{name} ({function})"


def set_os_name(name: str) -> None:
    """Gives the calling thread its name in the kernel, too, where threading does."""
    if _set_os_name is not None:
        with suppress(OSError):
            _set_os_name(name)


def check_daemon(daemon: bool) -> bool:
    """Returns the flag. Raises RuntimeError for a daemon thread in a subinterpreter that allows none."""
    if daemon and not _daemons_allowed():
        raise RuntimeError("daemon threads are disabled in this (sub)interpreter")
    return daemon


@functools.cache  # not of exceptions
def check_threads_allowed() -> None:
    """Raises RuntimeError in a subinterpreter that allows no threads. There is no other way to ask than to start one. It has
    ended when this returns, as no thread may be left when the interpreter ends."""
    if sys.version_info >= (3, 13):
        _thread.start_joinable_thread(int, daemon=False).join()
        return
    has_begun = _thread.allocate_lock()
    ends: list[_thread.LockType] = []
    has_begun.acquire()

    def begin() -> None:
        # A lock that CPython releases as the thread leaves the interpreter.
        ends.append(_thread._set_sentinel())  # type: ignore[attr-defined]
        has_begun.release()

    _thread.start_new_thread(begin, ())
    has_begun.acquire()
    ends[0].acquire()


# The tables change by single atomic steps, without threading's lock: a finalizer may run, and start a thread, while the
# lock is held, and would wait for the new thread, which would wait for the lock.


def expect(thread: threading.Thread) -> None:
    """Adds a thread that is about to start to threading's table of such threads."""
    _limbo[thread] = thread


def expect_no_more(thread: threading.Thread) -> None:
    """Undoes `expect`, for a thread that was not started."""
    _limbo.pop(thread, None)


def add_active(thread: threading.Thread) -> None:
    """Moves the calling thread to threading's table of active threads: there threading.current_thread() finds `thread`."""
    _active[threading.get_ident()] = thread
    _limbo.pop(thread, None)


def remove_active() -> None:
    """Removes the calling thread from threading's table."""
    _active.pop(threading.get_ident(), None)


def add_dummy() -> threading.Thread:
    """Adds a dummy for the calling thread, which threading did not start. The caller removes it by `forget`: CPython 3.11
    never does, and a finalizer of CPython 3.13 fails to as the interpreter ends (gh-130522)."""
    thread = threading.current_thread()
    if (info := getattr(threading, "_thread_local_info", None)) is not None:
        vars(info).pop("_track_dummy_thread_ref", None)  # which removes it
        _active[threading.get_ident()] = thread
    return thread


def forget(thread: threading.Thread) -> None:
    """Removes a thread that has ended from threading's table. A finalizer may call this."""
    if _active.get(ident := thread.ident or 0) is thread:
        _active.pop(ident, None)


def report_exception(thread: threading.Thread) -> None:
    """Passes the exception that is being handled to threading.excepthook, as threading does."""
    _invoke_excepthook(thread)


def at_shutdown(function: Callable[[], None]) -> None:
    """Calls `function` when the interpreter begins to end, while the main thread counts as alive."""
    threading._register_atexit(function)  # type: ignore[attr-defined]


class _JoinAtExit:
    """One more of the locks that threading waits for at the end, up to 3.12: a lock of each thread, held until its end."""

    def __init__(self, join: Callable[[], bool]) -> None:
        self._join = join

    def locked(self) -> bool:
        return True  # stays in the set

    def acquire(self) -> None:
        while self._join():
            pass

    def release(self) -> None:
        pass


_at_exit: _JoinAtExit | None = None


def join_at_exit(join: Callable[[], bool]) -> None:
    """Has `join` called when threading waits for its own threads at the end of the interpreter: by then the main thread
    counts as ended.

    Args:
        join: waits for threads, and returns whether there were any. It is called until there are none.
    """
    global _at_exit
    if hasattr(threading, "_shutdown_locks"):  # up to 3.12
        _at_exit = _JoinAtExit(join)
        expect_at_exit()
        return
    standard: Callable[[], None] = threading._thread_shutdown  # type: ignore[attr-defined]  # since 3.13

    def join_all() -> None:
        standard()
        while join():
            standard()

    threading._thread_shutdown = join_all  # type: ignore[attr-defined]


def expect_at_exit() -> None:
    """Makes sure, up to 3.12, that threading will wait for the thread that is about to start: it empties its set as it
    waits, and in a forked child."""
    if _at_exit is not None and _at_exit not in threading._shutdown_locks:  # type: ignore[attr-defined]
        with threading._shutdown_locks_lock:  # type: ignore[attr-defined]
            threading._shutdown_locks.add(_at_exit)  # type: ignore[attr-defined]


def dummy_becomes_main(thread: Any) -> None:
    """Makes the only thread of a forked child, which threading did not start, its main thread. CPython does this itself
    from 3.12.2 on."""
    classes: Any = threading
    if type(thread) is classes._DummyThread:
        thread.__class__ = classes._MainThread
        thread._name, thread._daemonic = "MainThread", False
        thread._set_tstate_lock()


def become_main(thread: Any) -> None:
    """Gives the only thread of a forked child the attributes that threading expects of its main thread at exit."""
    thread._is_stopped = False  # up to 3.12: a lock that is held until the thread ends
    thread._tstate_lock = threading.Lock()
    thread._tstate_lock.acquire()
    if hasattr(_thread, "_make_thread_handle"):  # since 3.13: a handle of a thread that has not ended
        handle = _thread._make_thread_handle(threading.get_ident())
        thread._handle = thread._os_thread_handle = handle
