"""Awaiting a descriptor in asyncio.

asyncio is imported in coroutines, whose callers have imported it: its import takes as long as that of kthreads.
"""

from __future__ import annotations

__all__ = ["readable"]


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
