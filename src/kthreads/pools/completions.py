"""Completion queues: where native tasks come back to Python.

A worker that has run a native function does not take the GIL. It puts the task into the engine's completion queue and
writes to the eventfd of that queue: at once where a caller watches the task, else when the worker is idle. A reader of
the eventfd drains the queue, which settles the futures of the tasks: a thread does so for futures of
concurrent.futures, an event loop for the tasks that it awaits.

Signal handlers and finalizers may submit tasks at any point of this file. So no step of a submission takes a lock:
collections change by single atomic steps, and loops go through copies.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from concurrent.futures import _base as base
from typing import Any, Protocol

from kthreads import deadline, interpreter, lifecycle
from kthreads._native import ffi, lib
from kthreads.doubling import DoublingThreshold
from kthreads.errors import ThreadStateError, check
from kthreads.iteration import contents, for_each
from kthreads.threads.thread import Thread

__all__ = [
    "CompletionQueue", "Pending", "all_queues", "completions_of", "drain_shared", "keep_running_at_exit", "native_tasks_of", "next_tag",
    "remove_closed_event_loops", "reset_after_fork", "shared_completions",
]  # fmt: skip

next_tag = itertools.count(1).__next__
_WILL_COMPLETE = frozenset([lib.KT_TASK_QUEUED, lib.KT_TASK_RUNNING, lib.KT_TASK_DONE])
_state_of = lib.kt_task_state_of


class Pending(Protocol):
    """What waits for a native task to complete: a future, or a unit of several calls.

    Attributes:
        owner: a number that is the same for all tasks of one pool.
        task: the ``kt_task *``.
    """

    owner: int
    task: Any

    def settle(self) -> None:
        """Takes over the outcome of a task that has completed or was cancelled. Called again after an exception, it
        continues where it stopped."""

    def abandon_in_child(self) -> None:
        """Ends in a forked child, where the task never completes."""


class _DrainThread:
    """The thread that drains a completion queue.

    Attributes:
        has_begun: the thread runs, and sees all tasks that complete from now on.
        is_to_end: the thread ends as soon as no task is pending.
    """

    def __init__(self, queue: CompletionQueue) -> None:
        self.has_begun = self.is_to_end = False
        self.thread = Thread(target=lambda: queue.run_thread(self), name="kt-completions", daemon=interpreter.IS_MAIN)


class CompletionQueue:
    """A completion queue of the engine, and the tasks that are to come back through it.

    Args:
        by_event_loop: whether an event loop drains the queue, instead of a thread.

    Attributes:
        pending: by their tags, what waits for tasks that have not completed. It keeps the memory of the tasks alive.
        cdata: the ``kt_completions *``.
        address: the same as a number.
        fd: the eventfd, which is readable when tasks have completed.
    """

    def __init__(self, by_event_loop: bool = False) -> None:
        self.pending: dict[int, Pending] = {}
        self._threshold = DoublingThreshold(256)
        self._by_event_loop = by_event_loop
        self._threads: dict[str, _DrainThread] = {}  # at most one, "now"; a dict, as its setdefault is atomic
        self._started: set[_DrainThread] = set()  # have not been seen to end
        self._draining = threading.RLock()  # reentrant, as callbacks may drain
        self._completed: dict[int, Pending] = {}  # completed, and not settled yet
        self._is_taking = False
        self._first = ffi.new("kt_task **")  # where the engine puts the list of completed tasks
        self._cdata_at = ffi.gc(ffi.new("kt_completions **"), lib.kt_python_completions_free)
        check(lib.kt_completions_new(self._cdata_at), "making an eventfd")
        self.cdata = self._cdata_at[0]
        self.address = int(ffi.cast("uintptr_t", self.cdata))
        self.fd: int = lib.kt_completions_fd(self.cdata)

    def expect(self, tag: int, pending: Pending) -> None:
        """Enters a task that will be submitted."""
        self.pending[tag] = pending
        self.expect_more()

    def expect_more(self) -> None:
        """Each time the number of entries has doubled, drains the queue."""
        if len(self.pending) >= self._threshold.size:
            self._threshold.reset(len(self.pending))
            self._notify()

    def _notify(self) -> None:
        os.eventfd_write(self.fd, 1)

    def awaits(self) -> bool:
        """Whether a task will complete, or has completed and is not settled."""
        return any(_state_of(each.task) in _WILL_COMPLETE for each in self.pending.copy().values())

    def tasks_of(self, owner: int) -> list[Pending]:
        """The pending tasks of one owner."""
        return [each for each in self.pending.copy().values() if each.owner == owner]

    def drain(self) -> None:
        """Settles the futures of all tasks that have completed, which calls their callbacks. When it returns all of them
        are settled, also those that another thread has begun to settle. It goes on to the end after a callback or a
        signal handler has raised an exception, and then raises the first one."""
        with self._draining:
            if self._is_taking:
                return  # this is a signal handler; the drain that it has interrupted continues after it
            failure = self._settle_all()
        drain_thread = self._threads.get("now")
        if drain_thread is not None and drain_thread.is_to_end:
            self._notify()  # this drain may have read the notification that was to end the thread
        if failure is not None:
            try:
                raise failure
            finally:
                failure = None  # its traceback refers to this frame

    # The loops that follow are functions of their own: where a `while` loop in a `with` or `try` block goes round, CPython 3.12
    # and later look at signals, and leave the block without its clean-up if a handler raises there.

    def _settle_all(self) -> BaseException | None:
        """Settles until nothing has completed. Returns the first exception."""
        failure: BaseException | None = None
        while self.cdata is not None:  # None in a child that a callback has forked
            try:
                self._take()
                if not self._completed:
                    break
                self._settle()
            except BaseException as error:
                failure = failure or error
        return failure

    def _take(self) -> None:
        """Moves completed tasks to `_completed`. Called again after an exception, it finds all of them unchanged."""
        first = self._first
        try:
            self._is_taking = True  # until the list has been read, no other drain may change it or free its tasks
            lib.kt_completions_take(self.cdata, first)
            self._read(first[0])
            first[0] = ffi.NULL
        finally:
            self._is_taking = False

    def _read(self, task: Any) -> None:
        """Adds the tasks of a list to `_completed`."""
        while task:
            if (pending := self.pending.get(task.tag)) is not None:
                self._completed[task.tag] = pending
            task = task.link

    def _settle(self) -> None:
        for tag, pending in list(self._completed.items()):
            pending.settle()
            self.pending.pop(tag, None)
            self._completed.pop(tag, None)

    def ensure_drained(self) -> None:
        """Starts the thread that drains the queue, unless it runs already or an event loop drains the queue."""
        drain_thread = self._threads.get("now")
        if (drain_thread is None or not drain_thread.has_begun) and not self._by_event_loop:
            drain_thread = self._threads.setdefault("now", _DrainThread(self))
            self._started.add(drain_thread)  # before the start, so that `stop` finds it, however short it runs
            try:
                drain_thread.thread.start()
            except ThreadStateError:
                return  # another caller has started it

    def run_thread(self, drain_thread: _DrainThread) -> None:
        """Drains the queue until the thread is told to end. The body of the thread."""
        drain_thread.has_begun = True
        try:
            while self.cdata is not None and not (
                drain_thread.is_to_end and not self.awaits() and self._steps_down(drain_thread)
            ):
                lib.kt_completions_wait(self.cdata)
                self._drain_and_log()
        finally:
            if self._threads.get("now") is drain_thread:
                self._threads.pop("now", None)

    def _drain_and_log(self) -> None:
        try:
            self.drain()
        except BaseException:
            base.LOGGER.critical("Exception in a callback of a future:", exc_info=True)

    def _steps_down(self, drain_thread: _DrainThread) -> bool:
        """Removes the thread's entry; returns False if the thread has to go on. A submitter queues first and looks at
        the entry afterwards; the thread removes the entry first and looks for tasks afterwards. So one of the two sees
        the other, and a thread is there for what was queued."""
        self._threads.pop("now", None)
        return not self.awaits() or self._threads.setdefault("now", drain_thread) is not drain_thread

    def stop(self) -> None:
        """Ends the thread, if no task is pending. The next submission starts it again."""
        self.drain()
        drain_thread = self._threads.get("now")
        if drain_thread is not None:
            drain_thread.is_to_end = True
            self._notify()
        for drain_thread in self._started.copy():  # also threads that were told to end before, and have not ended yet
            # A signal handler may submit a task: the thread then stays, or another one has started, which is not to end.
            while drain_thread.is_to_end and drain_thread.thread.is_alive() and not self.awaits():
                if drain_thread.thread is threading.current_thread():
                    return
                drain_thread.thread.join(deadline.SLICE_NS / 1e9)
            if drain_thread.has_begun and not drain_thread.thread.is_alive():
                self._started.discard(drain_thread)

    def reset_after_fork(self) -> None:
        """In a forked child: ends the tasks of the parent, which never complete here, and closes the eventfd."""
        abandoned, self.pending, self._completed = contents(self.pending.values()), {}, {}
        self._threads, self._started = {}, set()
        self._draining, self._is_taking = threading.RLock(), False
        self.cdata = self._cdata_at = None  # closes the descriptor while its number still means the eventfd
        for_each(lambda pending: pending.abandon_in_child(), abandoned)


_shared: dict[None, CompletionQueue] = {}  # the queue of concurrent.futures; a dict, as its setdefault is atomic
_of_event_loops: dict[CompletionQueue, weakref.ref[Any]] = {}  # also those whose event loop ended before their tasks


def all_queues() -> list[CompletionQueue]:
    """The queues of this process, also those of event loops that have ended before their tasks."""
    return [*_shared.copy().values(), *_of_event_loops.copy()]


def shared_completions() -> CompletionQueue:
    """The queue for futures of concurrent.futures. Its thread runs while a task is pending."""
    found = _shared.get(None)
    if found is None:
        found = _shared.setdefault(None, CompletionQueue())
    return found


def drain_shared() -> None:
    """Settles all futures whose tasks have completed. In a subinterpreter this also ends the thread, if no task is pending:
    no thread may be left in it when it ends."""
    queue = _shared.get(None)
    if queue is None:
        return
    if interpreter.IS_MAIN:
        queue.drain()
    else:
        queue.stop()


def completions_of(event_loop: Any) -> CompletionQueue:
    """The queue that an asyncio event loop drains. Called on the thread of the event loop."""
    # No weak dictionary: a signal handler may interrupt the function in Python that removes its dead entries.
    for queue, of in _of_event_loops.copy().items():
        if of() is event_loop:
            return queue
    remove_closed_event_loops()
    found = CompletionQueue(by_event_loop=True)
    event_loop.add_reader(found.fd, found.drain)
    _of_event_loops[found] = weakref.ref(event_loop)  # last: what is found here has its reader
    return found


def remove_closed_event_loops() -> None:
    """Removes the queues of closed event loops once all of their tasks have completed."""
    for each, of in _of_event_loops.copy().items():
        event_loop = of()
        if event_loop is None or event_loop.is_closed():
            each.drain()
            if not each.pending:
                _of_event_loops.pop(each, None)


def native_tasks_of(owner: int) -> list[Pending]:
    """The native tasks of one pool that have not completed."""
    return [pending for each in all_queues() for pending in each.tasks_of(owner)]


@lifecycle.at_its_end.add
def keep_running_at_exit() -> None:
    """At the end of the interpreter: keeps the memory of tasks that native functions still use."""
    for each in all_queues():
        if each.pending:
            lib.kt_python_keep(ffi.cast("void *", id(each)))


@lifecycle.in_a_forked_child.add
def reset_after_fork() -> None:
    """In a forked child: ends the parent's tasks, and removes its queues. The child makes a queue when it needs one; until
    then it has no descriptor that it did not ask for."""
    global _shared, _of_event_loops
    queues = [*contents(_shared.values()), *contents(_of_event_loops)]
    _shared, _of_event_loops = {}, {}
    for_each(CompletionQueue.reset_after_fork, queues)
