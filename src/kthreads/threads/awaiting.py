"""Awaiting the end of a thread in asyncio, without a helper thread."""

from __future__ import annotations

import threading
from typing import Any, Protocol

from kthreads.errors import ThreadStateError, UnsupportedError
from kthreads.readable import readable
from kthreads.threads.pidfd import PidFd

__all__ = ["result_of"]

# How long to wait between two looks at a thread without a pidfd, in seconds: at first, and at most.
_FIRST_DELAY, _LONGEST_DELAY = 0.0001, 0.005


class Awaited(Protocol):
    """The methods of a thread that awaiting uses."""

    def kt_result(self) -> Any: ...
    def kt_was_started(self) -> bool: ...
    def kt_cell_while_alive(self) -> Any: ...


async def result_of(thread: Awaited) -> Any:
    """Waits for the end of a thread, and returns or raises as its `result` does. See `Thread.__await__`."""
    if not thread.kt_was_started():
        raise ThreadStateError("cannot await thread before it is started")
    current: object = threading.current_thread()
    if thread is current:
        raise ThreadStateError("cannot await current thread")
    import asyncio

    delay = _FIRST_DELAY
    while (cell := thread.kt_cell_while_alive()) is not None:
        try:
            pidfd = PidFd(cell[0])
        except UnsupportedError:
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)
        except ThreadStateError:
            continue  # the thread has just ended
        else:
            try:
                await readable(pidfd.fd)
            finally:
                pidfd.close()
    return thread.kt_result()
