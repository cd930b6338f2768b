"""Submitting from coroutines: an event loop must go on while its coroutines wait for room in a pool's queue."""

from __future__ import annotations

import queue
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kthreads.pools.handle import PoolHandle
from kthreads.pools.tasks import Task

if TYPE_CHECKING:
    import asyncio

__all__ = ["EventLoops"]

_FIRST_DELAY, _LONGEST_DELAY = 0.0005, 0.005  # seconds between two attempts to queue a task


@dataclass
class _Turns:
    """The coroutines of one event loop that wait for room, in their order."""

    lock: asyncio.Lock
    waiting: int = 0


class EventLoops:
    """The event loops whose coroutines submit to one pool.

    Args:
        handle: of the pool.
        waits_for_room: whether a coroutine waits while the queue is full, instead of raising queue.Full.
    """

    def __init__(self, handle: PoolHandle, waits_for_room: bool) -> None:
        self._handle, self._waits_for_room = handle, waits_for_room
        self._turns: dict[Any, _Turns] = {}

    async def submit_from(self, event_loop: Any, task: Task) -> None:
        """Submits a task. While the queue is full the coroutine waits, and the event loop goes on.

        Coroutines that wait have their turns in order, so that one of them at a time looks for room.
        """
        import asyncio  # as in readable.py

        if not self._waits_for_room or event_loop not in self._turns:
            try:
                self._handle.submit([task], wait=False)
            except queue.Full:
                if not self._waits_for_room:
                    raise
            else:
                return
        turns = self._turns.setdefault(event_loop, _Turns(asyncio.Lock()))
        turns.waiting += 1
        try:
            async with turns.lock:
                await self._submit_when_there_is_room(task)
        finally:
            turns.waiting -= 1
            if not turns.waiting:  # a lock that a coroutine has waited for keeps its event loop alive
                self._turns.pop(event_loop, None)

    async def _submit_when_there_is_room(self, task: Task) -> None:
        import asyncio

        delay = _FIRST_DELAY
        while True:
            try:
                return self._handle.submit([task], wait=False)
            except queue.Full:
                await asyncio.sleep(delay)
                delay = min(2 * delay, _LONGEST_DELAY)
