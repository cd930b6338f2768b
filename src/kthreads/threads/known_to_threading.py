"""Makes the threads of pools known to threading, when they first run Python.

A pool's thread begins in C, and may never run Python. When it does, it gets the trace and profile functions of
threading, as a thread that threading starts, and `threading.current_thread` and `threading.enumerate` give an object
with the thread's name. That object leaves threading's table when the thread ends.

pydevd warns of calls of sys.settrace, except by files whose names end in "threading".
"""

from __future__ import annotations

import sys
import threading

from kthreads import lifecycle, procfs
from kthreads.threads import threading_hooks

__all__ = ["attach", "here", "reset_after_fork"]


class _Here(threading.local):
    """What is known of the calling thread.

    Attributes:
        is_attached: whether threading knows the thread, or need not know it.
        entry: the thread's entry in threading's table, which ends with the thread.
    """

    is_attached = False
    entry: _Entry | None = None


here = _Here()


def attach() -> None:
    """Makes the calling thread, which is a pool's, known to threading. Called once a thread: see `here.is_attached`."""
    here.is_attached = True
    here.entry = _Entry(procfs.read("/proc/thread-self/comm"))
    _set_trace_functions()


def _set_trace_functions() -> None:
    """Sets the trace and profile functions of threading.settrace and threading.setprofile on the calling thread."""
    if (trace := threading.gettrace()) is not None:
        sys.settrace(trace)
    if (profile := threading.getprofile()) is not None:
        sys.setprofile(profile)


class _Entry:
    """The entry of one thread in threading's table.

    Args:
        name: of the kernel thread; where it is empty, threading makes a name.

    Attributes:
        thread: the object in the table.
    """

    def __init__(self, name: str) -> None:
        self.thread = threading_hooks.add_dummy()
        if name:
            self.thread.name = name

    def __del__(self) -> None:
        if sys is None or sys.is_finalizing():  # modules may have lost their names by now
            return
        if threading.get_ident() == self.thread.ident:  # else this is a forked child, without the thread
            # A trace function that asks for the current thread would put it into the table again.
            sys.settrace(None)
            sys.setprofile(None)
        threading_hooks.forget(self.thread)


@lifecycle.in_a_forked_child.add
def reset_after_fork() -> None:
    """In a child that a pool's thread has forked: that thread is the child's main thread."""
    if here.entry is not None:
        threading_hooks.dummy_becomes_main(here.entry.thread)
