"""Awaiting the end of a thread on asyncio, without another thread that helps."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

from kthreads.errors import ThreadStateError, UnsupportedError
from kthreads.pidfd import PidFd

if TYPE_CHECKING:
    from kthreads.thread import Thread

__all__ = ["result_of"]

# How long to wait before looking again at a thread that has no pidfd: at first, and at most.
_FIRST_DELAY, _LONGEST_DELAY = 0.0001, 0.005


async def result_of(thread: Thread) -> Any:
    """What a thread returned, when it has ended. As `Thread.__await__`."""
    if not thread._started_once:
        raise ThreadStateError("cannot await thread before it is started")
    if thread is threading.current_thread():
        raise ThreadStateError("cannot await current thread")
    delay = _FIRST_DELAY
    while (place := thread._while_alive()) is not None:
        try:
            pidfd = PidFd(place[0])
        except UnsupportedError:
            await asyncio.sleep(delay)
            delay = min(2 * delay, _LONGEST_DELAY)
        except ThreadStateError:
            continue  # it has just ended
        else:
            await _readable(pidfd)
    return thread.result


async def _readable(pidfd: PidFd) -> None:
    """Returns when a pidfd of the caller's own is readable, and closes it. Its own, as an event loop has one reader for
    each descriptor, and as many tasks may await one thread."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def wake() -> None:
        if not ended.done():
            ended.set_result(None)

    try:
        loop.add_reader(pidfd.fd, wake)
        await ended
    finally:
        loop.remove_reader(pidfd.fd)
        pidfd.close()
