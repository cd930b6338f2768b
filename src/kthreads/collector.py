"""Where tasks come back to Python.

A worker that has run a native function does not take the GIL: it puts the task among those that have come back, and
rings one eventfd for all of them, at once where somebody has asked to be told, else when it has nothing else to do. A
collector hears it and settles their futures: a thread for futures of concurrent.futures, an event loop for those that
it awaits.
"""

from __future__ import annotations

import itertools
import os
import select
import threading
import weakref
from typing import Any, Protocol

from kthreads._native import ffi, lib
from kthreads.errors import check
from kthreads.thread import Thread

__all__ = ["Collector", "collector", "collector_of", "keep_what_runs", "native_tasks_of"]

LEAST = 64
next_tag = itertools.count(1).__next__
_collectors: set[Collector] = set()


class Expected(Protocol):
    """What waits for a task to come back: a future, or what stands for several."""

    owner: int

    def settle(self) -> None:
        """The task has come back, or was cancelled."""

    def cancel(self) -> bool:
        """Keeps what has not begun from beginning."""

    def lose(self) -> None:
        """This is a forked child, where the task never comes back."""


class Collector:
    """Where tasks come back: those that it waits for, by their tags.

    Attributes:
        pending: what waits for tasks that have not come back, whose memory they keep until then.
    """

    def __init__(self, event_loop: Any = None) -> None:
        self.pending: dict[int, Expected] = {}
        self._collect_at = LEAST
        self._event_loop = None if event_loop is None else weakref.ref(event_loop)
        self._thread: Thread | None = None
        self._lock = threading.Lock()
        self._collecting = threading.RLock()  # callbacks may collect
        self._stopping = False
        self._make()
        _sweep()
        _collectors.add(self)

    def _make(self) -> None:
        place = ffi.new("kt_completions **")
        check(lib.kt_completions_new(place), "making an eventfd")
        self.cdata = ffi.gc(place[0], lib.kt_completions_free)
        self.fd: int = lib.kt_completions_fd(self.cdata)

    def expect(self, expected: Expected) -> int:
        """Waits for one more, and returns its tag. Collects each time the number has doubled, which costs little."""
        if len(self.pending) >= self._collect_at:
            self.collect(wait=False)
            self._collect_at = max(LEAST, 2 * len(self.pending))
        tag = next_tag()
        self.pending[tag] = expected
        return tag

    def collect(self, wait: bool = True) -> None:
        """Settles the futures of tasks that have come back, which calls their callbacks.

        Args:
            wait: whether to wait for another thread that is at it, so that all are settled when this returns.
        """
        collecting = self._collecting  # a callback may fork, and the child has another
        if not collecting.acquire(blocking=wait):
            return
        try:
            task = lib.kt_completions_take(self.cdata)
            if self._stopping:  # that may have taken the bell that was to end the thread
                os.eventfd_write(self.fd, 1)
            came = []
            while task:
                came.append(task.tag)
                task = task.link
            for tag in came:
                if (future := self.pending.pop(tag, None)) is not None:
                    future.settle()
        finally:
            collecting.release()

    def futures_of(self, owner: int) -> list[Expected]:
        """Those that this owner waits for."""
        return [future for future in list(self.pending.values()) if future.owner == owner]

    def start(self) -> None:
        """Starts the thread that collects, unless it runs."""
        if self._thread is None or not self._thread.is_alive():
            with self._lock:
                if self._thread is None or not self._thread.is_alive():
                    self._stopping = False
                    self._thread = Thread(self._serve, name="kt-collector", daemon=True)
                    self._thread.start()

    def _serve(self) -> None:
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        while not self._stopping:
            poll.poll()
            self.collect()

    def stop(self) -> None:
        """Ends the thread, if no task is on its way back. It starts again when it is needed."""
        self.collect()
        with self._lock:
            if self._thread is None or self.pending:
                return
            self._stopping = True
            os.eventfd_write(self.fd, 1)
            self._thread.join()
            self._thread, self._stopping = None, False

    def forget(self) -> None:
        """In a forked child: what the parent's threads do never comes back here."""
        lost, self.pending = list(self.pending.values()), {}
        self._thread, self._lock, self._collecting = None, threading.Lock(), threading.RLock()
        self.cdata = None  # closes the descriptor, while it still is this one
        for future in lost:
            future.lose()


_collector: Collector | None = None


def collector() -> Collector:
    """The one that serves futures of concurrent.futures; its thread runs while somebody may need it."""
    global _collector
    if _collector is None:
        _collector = Collector()
    return _collector


_watched: weakref.WeakKeyDictionary[Any, Collector] = weakref.WeakKeyDictionary()


def collector_of(event_loop: Any) -> Collector:
    """The one that this asyncio event loop watches."""
    found = _watched.get(event_loop)
    if found is None:
        found = _watched[event_loop] = Collector(event_loop)
        event_loop.add_reader(found.fd, found.collect)
    return found


def _sweep() -> None:
    """Lets go of the collectors of event loops that are closed, once all of their tasks have come back."""
    for each in list(_collectors):
        if each._event_loop is None:
            continue
        event_loop = each._event_loop()
        if event_loop is None or event_loop.is_closed():
            each.collect()
            if not each.pending:
                _collectors.discard(each)


def native_tasks_of(owner: int) -> list[Expected]:
    """The tasks of one pool that have not come back."""
    return [future for each in list(_collectors) for future in each.futures_of(owner)]


def keep_what_runs() -> None:
    """At the end of the interpreter: native functions that run go on using their tasks."""
    for each in list(_collectors):
        each.collect(wait=False)
        if each.pending:
            lib.kt_python_keep(ffi.cast("void *", id(each)))


def _forget_all() -> None:
    """In a forked child, which has no event loop that runs, and tasks of its own only. It makes a collector when it has
    one: until then it has no descriptor that it did not ask for."""
    global _collector
    for each in list(_collectors):
        each.forget()
    _watched.clear()
    _collectors.clear()
    _collector = None


os.register_at_fork(after_in_child=_forget_all)
