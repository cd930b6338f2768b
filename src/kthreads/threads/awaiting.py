"""Awaiting the end of a thread or a process in asyncio, without a helper thread.

asyncio is imported in the coroutines, whose callers have imported it: its import takes as long as that of kthreads.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

from kthreads.errors import ThreadStateError, UnsupportedError
from kthreads.threads.pidfd import PidFd

__all__ = ["readable", "result_of"]

# How long to wait between two looks at a thread without a pidfd, in seconds: at first, and at most.
_FIRST_DELAY, _LONGEST_DELAY = 0.0001, 0.005


class Awaited(Protocol):
    """The methods of a thread that awaiting uses."""

    @property
    def result(self) -> Any: ...
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
    return thread.result


async def readable(fd: int) -> None:
    """Waits until a descriptor is readable.

    An event loop allows one reader for each descriptor, and several tasks may await the same end: each needs a descriptor
    of its own.
    """
    import asyncio

    loop, event = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(fd, event.set)
        await event.wait()
    finally:
        loop.remove_reader(fd)
