"""Waiting for any or all of many threads."""

from __future__ import annotations

import errno
import itertools
import threading
from collections.abc import Iterable
from typing import NamedTuple

from kthreads import deadline
from kthreads._native import lib
from kthreads.errors import ThreadStateError, raise_for
from kthreads.threads.thread import Thread

__all__ = ["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION", "WaitResult", "wait"]

FIRST_COMPLETED = "FIRST_COMPLETED"
FIRST_EXCEPTION = "FIRST_EXCEPTION"
ALL_COMPLETED = "ALL_COMPLETED"


class WaitResult(NamedTuple):
    """The result of `wait`, as that of concurrent.futures.wait."""

    done: set[Thread]
    not_done: set[Thread]


def wait(threads: Iterable[Thread], timeout: float | None = None, return_when: str = ALL_COMPLETED) -> WaitResult:
    """Waits for threads with one futex_waitv(2), without helper threads. Ctrl-C works.

    Args:
        threads: started threads.
        timeout: seconds, or None for no limit.
        return_when: ALL_COMPLETED, FIRST_COMPLETED, or FIRST_EXCEPTION (the first thread that ends by an exception,
            or all of them), as in concurrent.futures.

    Returns:
        `(done, not_done)`, two sets.

    Raises:
        ThreadStateError: a thread was not started, or is the current one.
    """
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
        raise ValueError(f"return_when must be ALL_COMPLETED, FIRST_COMPLETED or FIRST_EXCEPTION, not {return_when!r}")
    pending = list({id(thread): thread for thread in threads}.values())  # a subclass may have equal objects
    current = threading.current_thread()
    for thread in pending:
        if not isinstance(thread, Thread):
            raise TypeError(f"wait takes threads of kthreads, not {thread!r}")
        if not thread.kt_was_started():
            raise ThreadStateError(f"cannot wait for {thread.name} before it is started")
        if thread is current:
            raise ThreadStateError("a thread cannot wait for itself")
    limit = deadline.after(timeout)
    done: set[Thread] = set()
    while True:
        ended = [thread.kt_has_ended() for thread in pending]
        done.update(itertools.compress(pending, ended))
        pending = [thread for thread, has_ended in zip(pending, ended, strict=True) if not has_ended]
        if not pending or deadline.has_passed(limit):
            break
        if done and return_when == FIRST_COMPLETED:
            break
        if return_when == FIRST_EXCEPTION and any(thread.kt_has_failed() for thread in done):
            break
        _sleep_until_one_ends(pending, limit)
    return WaitResult(done, set(pending))


def _sleep_until_one_ends(threads: Iterable[Thread], limit: int | None) -> None:
    """Returns when a thread has ended, when the time is over, or when it is time to look for signals."""
    # The list of cells keeps the handles valid during the wait.
    cells = [cell for thread in threads if (cell := thread._kt_cell) is not None]
    handles = [handle for cell in cells if (handle := cell[0])]
    if not handles:
        return
    code = lib.kt_thread_wait_any(handles, len(handles), deadline.slice_ns(limit))
    if code < 0 and code not in (-errno.ETIMEDOUT, -errno.EINTR):
        raise_for(code, "waiting for threads")
