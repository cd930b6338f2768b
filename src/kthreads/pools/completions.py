"""Where tasks come back to Python.

A worker that has run a native function does not take the GIL: it puts the task among those that have come back, and
rings one eventfd for all of them, at once where somebody has asked to be told, else when it has nothing else to do. A
collector hears it and settles their futures: a thread for futures of concurrent.futures, an event loop for those that
it awaits.

Signal handlers and finalizers may submit tasks at any point of what is here. So nothing that submits takes a lock:
collections change by single steps that are atomic, and what a loop goes through is a copy.
"""

from __future__ import annotations

import itertools
import os
import select
import threading
import weakref
from concurrent.futures import _base as base
from typing import Any, Protocol

from kthreads._native import ffi, lib
from kthreads.errors import ThreadStateError, check
from kthreads.iteration import for_each
from kthreads.threads.thread import Thread

__all__ = ["Collector", "collector", "collector_of", "forget_all", "keep_what_runs", "native_tasks_of"]

LEAST = 256
next_tag = itertools.count(1).__next__
_COMING_BACK = frozenset([lib.KT_TASK_QUEUED, lib.KT_TASK_RUNNING, lib.KT_TASK_DONE])
_state_of = lib.kt_task_state_of


class Expected(Protocol):
    """What waits for a task to come back: a future, or what stands for several."""

    owner: int
    task: Any

    def settle(self) -> None:
        """The task has come back, or was cancelled. Called again after an exception, it goes on where it was."""

    def cancel(self) -> bool:
        """Keeps what has not begun from beginning."""

    def fail(self, error: BaseException) -> None:
        """The same, with an exception as its result."""

    def withdraw(self) -> None:
        """Nobody expects it any more."""

    def lose(self) -> None:
        """This is a forked child, where the task never comes back."""


class _Service:
    """The thread of a collector.

    Attributes:
        has_begun: it runs, and will see what comes back from now on.
        is_to_end: as soon as nothing is expected.
    """

    def __init__(self, collector: Collector) -> None:
        self.has_begun = self.is_to_end = False
        self.thread = Thread(lambda: collector.serve(self), name="kt-collector", daemon=True)


class Collector:
    """Where tasks come back: those that it waits for, by their tags.

    Attributes:
        pending: what waits for tasks that have not come back, whose memory they keep until then.
        cdata: the ``kt_completions *``.
        fd: a descriptor that is readable when tasks have come back.
    """

    def __init__(self, event_loop: Any = None) -> None:
        self.pending: dict[int, Expected] = {}
        self._ring_at = LEAST
        self._event_loop = None if event_loop is None else weakref.ref(event_loop)
        self._services: dict[str, _Service] = {}  # one at most; a dict, as its setdefault is atomic
        self._retired: set[_Service] = set()  # those that were told to end and were not seen to have ended
        self._collecting = threading.RLock()  # callbacks may collect
        self._came: dict[int, Expected] = {}  # what has come back and is not settled yet
        self._taking = False
        self._first = ffi.new("kt_task **")  # where the engine puts what has come back
        self._place = ffi.gc(ffi.new("kt_completions **"), lib.kt_python_completions_free)
        check(lib.kt_completions_new(self._place), "making an eventfd")
        self.cdata = self._place[0]
        self.fd: int = lib.kt_completions_fd(self.cdata)

    def expect(self, tag: int, expected: Expected) -> None:
        """Waits for one more. Each time the number has doubled, those that are back are collected."""
        self.pending[tag] = expected
        if len(self.pending) >= self._ring_at:
            self._ring_at = max(LEAST, 2 * len(self.pending))
            self._ring()

    def _ring(self) -> None:
        os.eventfd_write(self.fd, 1)

    def awaits(self) -> bool:
        """Whether something will come back that it does not have yet."""
        return any(_state_of(each.task) in _COMING_BACK for each in self.pending.copy().values())

    def futures_of(self, owner: int) -> list[Expected]:
        """Those that this owner waits for."""
        return [future for future in self.pending.copy().values() if future.owner == owner]

    # ---- Collecting --------------------------------------------------------------------------------------------------

    def collect(self) -> None:
        """Settles the futures of tasks that have come back, which calls their callbacks. All are settled when this
        returns, those that another thread has taken over included. What a callback raises that is no Exception, or a
        signal handler, comes when that is done."""
        with self._collecting:
            if self._taking:
                return  # a signal handler: what it has interrupted goes on after it
            failure: BaseException | None = None
            while True:
                try:
                    self._take()
                    if not self._came:
                        break
                    self._settle()
                except BaseException as error:
                    failure = failure or error
        service = self._services.get("now")
        if service is not None and service.is_to_end:
            self._ring()  # this may have taken the bell that was to end the thread
        if failure is not None:
            try:
                raise failure
            finally:
                failure = None  # its traceback has this frame

    def _take(self) -> None:
        """Moves what has come back to `_came`. Begun again after an exception, it finds all where it was."""
        first = self._first
        try:
            self._taking = True  # the list is not to be changed, and nobody is to let go of what is in it
            lib.kt_completions_take(self.cdata, first)
            task = first[0]
            while task:
                if (expected := self.pending.get(task.tag)) is not None:
                    self._came[task.tag] = expected
                task = task.link
            first[0] = ffi.NULL
        finally:
            self._taking = False

    def _settle(self) -> None:
        for tag, expected in list(self._came.items()):
            expected.settle()
            self.pending.pop(tag, None)
            self._came.pop(tag, None)

    # ---- The thread --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the thread that collects, unless it runs or an event loop collects."""
        service = self._services.get("now")
        if (service is None or not service.has_begun) and self._event_loop is None:
            service = self._services.setdefault("now", _Service(self))
            try:
                service.thread.start()
            except ThreadStateError:
                return  # somebody else has started it

    def serve(self, service: _Service) -> None:
        """What the thread does."""
        poll = select.poll()
        poll.register(self.fd, select.POLLIN)
        service.has_begun = True
        try:
            while not (service.is_to_end and not self.awaits() and self._retires(service)):
                poll.poll()
                self._collect_whatever_callbacks_raise()
        finally:
            if self._services.get("now") is service:
                self._services.pop("now", None)

    def _collect_whatever_callbacks_raise(self) -> None:
        try:
            self.collect()
        except BaseException:
            base.LOGGER.critical("Exception in a callback of a future:", exc_info=True)

    def _retires(self, service: _Service) -> bool:
        """Leaves its place. Whoever submits queues first and looks at the place afterwards; this is the other way round:
        one of the two sees the other, and there is a thread for what was queued."""
        self._services.pop("now", None)
        return not self.awaits() or self._services.setdefault("now", service) is not service

    def stop(self) -> None:
        """Ends the thread, if no task is on its way back. It starts again when it is needed."""
        self.collect()
        service = self._services.get("now")
        if service is not None:
            service.is_to_end = True
            self._retired.add(service)
            self._ring()
        for service in self._retired.copy():  # others of earlier stops, which may be about to end, among them
            while service.thread.is_alive() and not self.awaits():  # a handler may submit, and the thread then stays
                if service.thread is threading.current_thread():
                    return
                service.thread.join(0.04)
            if not service.thread.is_alive():
                self._retired.discard(service)

    # ---- Fork --------------------------------------------------------------------------------------------------------

    def forget(self) -> None:
        """In a forked child: what the parent's threads do never comes back here."""
        lost, self.pending, self._came = list(self.pending.values()), {}, {}
        self._services, self._retired = {}, set()
        self._collecting, self._taking = threading.RLock(), False
        self.cdata = self._place = None  # closes the descriptor, while it still is this one
        for_each(lambda expected: expected.lose(), lost)


# ---- All of them -----------------------------------------------------------------------------------------------------

_shared: dict[None, Collector] = {}  # that of concurrent.futures; a dict, as its setdefault is atomic
_watched: weakref.WeakKeyDictionary[Any, Collector] = weakref.WeakKeyDictionary()
_of_event_loops: set[Collector] = set()  # also those whose event loop is gone before all has come back


def _all() -> list[Collector]:
    return [*_shared.copy().values(), *_of_event_loops.copy()]


def collector() -> Collector:
    """The one that serves futures of concurrent.futures; its thread runs while somebody may need it."""
    found = _shared.get(None)
    if found is None:
        found = _shared.setdefault(None, Collector())
    return found


def collector_of(event_loop: Any) -> Collector:
    """The one that this asyncio event loop watches. Called on the loop's thread."""
    found = _watched.get(event_loop)
    if found is None:
        _sweep()
        found = Collector(event_loop)
        _of_event_loops.add(found)
        event_loop.add_reader(found.fd, found.collect)
        _watched[event_loop] = found
    return found


def _sweep() -> None:
    """Lets go of the collectors of event loops that are closed, once all of their tasks have come back."""
    for each in _of_event_loops.copy():
        if each._event_loop is None:
            continue
        event_loop = each._event_loop()
        if event_loop is None or event_loop.is_closed():
            each.collect()
            if not each.pending:
                _of_event_loops.discard(each)


def native_tasks_of(owner: int) -> list[Expected]:
    """The tasks of one pool that have not come back."""
    return [future for each in _all() for future in each.futures_of(owner)]


def keep_what_runs() -> None:
    """At the end of the interpreter: native functions that run go on using their tasks."""
    for each in _all():
        if each.pending:
            lib.kt_python_keep(ffi.cast("void *", id(each)))


def forget_all() -> None:
    """In a forked child, which has no event loop that runs, and tasks of its own only. It makes a collector when it has
    one: until then it has no descriptor that it did not ask for."""
    for each in _all():
        each.forget()
    _watched.clear()
    _of_event_loops.clear()
    _shared.clear()
