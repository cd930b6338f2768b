"""The outermost frames of a Python thread.

They have the names of threading's. pydevd, the debugger in VS Code and PyCharm, knows the frames of a thread that threading
starts by these names: a file that is called threading.py, in it the function _bootstrap_inner, whose variable `self` is the
thread, and run. In the former it learns which thread it is on, and an exception that leaves what the latter calls is one that
nobody catches. If the frames had other names, it would see the first function on a new thread before the thread is in
threading's table, and take it for a foreign one: from CPython 3.12 on, sys.monitoring calls it on every thread.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from kthreads._native import lib
from kthreads.threads import registry, threading_hooks
from kthreads.threads.standard_attributes import StandardAttributes
from kthreads.threads.tracebacks import release_frames

__all__ = ["Bootstrap"]

_FREE_THREADED = not getattr(sys, "_is_gil_enabled", lambda: True)()


class Bootstrap(StandardAttributes):
    """The base of `Thread` with the methods that a Python thread runs."""

    _name: str
    _target: Any
    _args: Any
    _kwargs: Any
    _kt_context: Any
    _kt_function: Any
    _kt_call: Any
    _kt_returned: Any
    _kt_exception: BaseException | None

    def _bootstrap(self) -> None:
        """What a Python thread begins with, and its end."""
        try:
            self._bootstrap_inner()
        finally:
            threading_hooks.remove_active()
            self._kt_call.finish()  # it refers to this method, and so to the Thread
            registry.unregister(self)
            del self  # the traceback of its exception refers to this frame

    def _bootstrap_inner(self) -> None:
        """Makes the thread known, and runs it."""
        threading_hooks.set_os_name(self._name)
        threading_hooks.add_active(self)
        if _FREE_THREADED:
            lib.kt_python_announce(self._kt_call.cdata)
        trace, profile = threading.gettrace(), threading.getprofile()
        try:  # here and not in a function of its own, whose end the functions would see first
            if trace is not None:
                sys.settrace(trace)
            if profile is not None:
                sys.setprofile(profile)
            self._kt_returned = self.run() if self._kt_context is None else self._kt_context.run(self.run)
        except BaseException as exception:
            self._kt_exception = exception
            threading_hooks.report_exception(self)
            release_frames(exception)
        finally:
            del self  # likewise

    def run(self) -> Any:
        """Calls the target with its arguments and returns its result, which becomes `result`. Subclasses may override it."""
        try:
            if self._target is not None:
                target = self._target if self._kt_function is None else self._kt_function
                return target(*self._args, **self._kwargs)
        finally:
            # As threading does: a target that refers to its thread must not keep it alive.
            del self._target, self._args, self._kwargs
            del self  # it has the exception, whose traceback refers to this frame
        return None
