"""What futures of native and of Python functions have in common: waiting in the engine, callbacks, cancellation, forks."""

from __future__ import annotations

import errno
import operator
import threading
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, Future
from concurrent.futures import _base as base
from functools import partial
from typing import Any

from kthreads import deadline
from kthreads._native import lib
from kthreads.iteration import for_each

__all__ = ["CallbackFuture", "abandon_future", "abandoned_error", "notify_cancelled", "wait_for"]


def wait_for(task: Any, spin_ns: int, timeout: float | None) -> bool:
    """Waits until a ``kt_task *`` has ended. A worker wakes the waiter.

    Args:
        task: the ``kt_task *``.
        spin_ns: how long to spin before sleeping, in nanoseconds: about the cost of a wake-up.
        timeout: in seconds; None for no limit.

    Returns:
        Whether it has ended.
    """
    limit = deadline.after(timeout)
    while (code := lib.kt_task_wait(task, spin_ns, deadline.slice_ns(limit))) != 0:
        spin_ns = 0
        if code == -errno.ETIMEDOUT and deadline.has_passed(limit):
            return False
    return True


def notify_cancelled(future: Future[Any]) -> None:
    """Cancels a future, and tells all waiters and callbacks. Called again, it does what an exception has kept it from, or
    nothing."""
    base.Future.cancel(future)
    claim = object()
    try:
        # One caller at a time, and no caller waits: a second one, such as a signal handler, leaves it to the first.
        if future.__dict__.setdefault("_notifying", claim) is claim and future._state == base.CANCELLED:
            future.set_running_or_notify_cancel()
    finally:
        if future.__dict__.get("_notifying") is claim:
            del future.__dict__["_notifying"]


def abandon_future(future: Future[Any]) -> None:
    """In a forked child: ends a future of the parent, whose lock another thread of the parent may have held."""
    future._condition = threading.Condition()
    if future._state in (base.PENDING, base.RUNNING):
        future._exception = abandoned_error()
        future._state = base.FINISHED


def abandoned_error() -> BrokenExecutor:
    """The exception that futures of the parent's tasks have in a forked child."""
    return BrokenExecutor("the task was the parent's, and this is a process that it forked")


class CallbackFuture(Future[Any]):
    """A future that calls each of its callbacks once, even if another callback or a signal handler raises."""

    _done_callbacks: list[Callable[[Future[Any]], object]]

    def __repr__(self) -> str:
        return super().__repr__().replace(type(self).__name__, "Future", 1)  # as that of the standard library

    def _invoke_callbacks(self) -> None:
        callbacks = self._done_callbacks
        first = iter(partial(callbacks.pop, 0), None)
        try:
            # Until the list is empty: another thread may take callbacks out of it, too.
            for_each(partial(self._invoke_first, first), iter(callbacks.__len__, 0))
        finally:
            del self  # the traceback of an exception refers to this frame

    def _invoke_first(self, first: Any, _length: int) -> None:
        try:
            # Taken out and called by one call into C, so that no signal handler raises in between.
            next(map(operator.call, first, (self,)))
        except Exception as error:
            if not (isinstance(error, IndexError) and error.__traceback__ and error.__traceback__.tb_next is None):
                base.LOGGER.exception("exception calling callback for %r", self)
            # else another thread has taken the last one
        finally:
            del self
