"""Awaiting the end of a thread or a process on asyncio, without another thread that helps.

asyncio is imported where somebody awaits, who has it already: it takes as long as the rest of kthreads.
"""

from __future__ import annotations

import threading
from typing import Any, Protocol

from kthreads.errors import ThreadStateError, UnsupportedError
from kthreads.threads.pidfd import PidFd

__all__ = ["readable", "result_of"]

# How long to wait before looking again at a thread that has no pidfd: at first, and at most.
_FIRST_DELAY, _LONGEST_DELAY = 0.0001, 0.005


class Awaited(Protocol):
    """What awaiting needs of a thread."""

    @property
    def result(self) -> Any: ...
    def was_started(self) -> bool: ...
    def handle_while_alive(self) -> Any: ...


async def result_of(thread: Awaited) -> Any:
    """What a thread returned, when it has ended. As `Thread.__await__`."""
    if not thread.was_started():
        raise ThreadStateError("cannot await thread before it is started")
    current: object = threading.current_thread()
    if thread is current:
        raise ThreadStateError("cannot await current thread")
    import asyncio

    delay = _FIRST_DELAY
    while (place := thread.handle_while_alive()) is not None:
        try:
            pidfd = PidFd(place[0])
        except UnsupportedError:
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)
        except ThreadStateError:
            continue  # it has just ended
        else:
            try:
                await readable(pidfd.fd)
            finally:
                pidfd.close()
    return thread.result


async def readable(fd: int) -> None:
    """Returns when a descriptor is readable. It is to be the caller's own, as an event loop has one reader for each, and
    many tasks may await one end."""
    import asyncio

    loop, event = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(fd, event.set)
        await event.wait()
    finally:
        loop.remove_reader(fd)
