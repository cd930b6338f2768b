"""Calls of Python callables as tasks, and their futures."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from concurrent.futures import _base as base
from contextlib import suppress
from typing import Any

from kthreads import interpreter, lifecycle
from kthreads._native import ffi, lib
from kthreads.doubling import DoublingThreshold
from kthreads.iteration import carry_through, contents, for_each
from kthreads.pools.completions import next_tag
from kthreads.pools.futures import CallbackFuture, abandon_future, notify_cancelled, wait_for
from kthreads.threads.known_to_threading import attach, here

__all__ = [
    "PythonFuture",
    "PythonTask",
    "call_into",
    "python_tasks_of",
    "registered",
    "reset_after_fork",
    "unregister_ended",
]

_TASK = ffi.typeof("kt_task *")
_new, _state_of = ffi.new, lib.kt_task_state_of
_RUNNING, _DONE = lib.KT_TASK_RUNNING, lib.KT_TASK_DONE
_CANCELLED, _GONE = lib.KT_TASK_CANCELLED, lib.KT_TASK_GONE

_template = _new(_TASK)
_template.call.function = ffi.cast("kt_function", ffi.addressof(lib, "kt_python_task"))
_template.call.integers[1] = interpreter.ADDRESS

# The tasks that have not ended. The engine uses their memory, whether or not the user still holds the pool.
registered: dict[int, PythonTask] = {}
# The memory of cancelled tasks, which the queue still refers to. Their futures, callables and arguments may die.
_cancelled: dict[int, Any] = {}
_threshold = DoublingThreshold(256)

# `task` is the last task that a thread has begun. The engine uses its memory until the thread begins another one.
_last = threading.local()


def call_into(future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Calls a Python callable and settles its future, unless the future was cancelled."""
    try:
        if not future.set_running_or_notify_cancel():
            return
        try:
            result = fn(*args, **kwargs)
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)
    finally:
        del future, fn, args, kwargs  # the exception in the future refers to this frame


class PythonFuture(CallbackFuture):
    """The future of a Python callable. A waiter waits in the engine: waiter and worker share no lock of Python's."""

    __slots__ = ("_failure", "_spin_ns", "task")

    def __init__(self, task: Any, spin_ns: int) -> None:
        super().__init__()
        self.task, self._spin_ns = task, spin_ns
        self._failure: BaseException | None = None

    def _wait(self, timeout: float | None) -> None:
        """Waits. If another caller has cancelled the task and has not settled the future yet, this call settles it."""
        if self._state in (base.PENDING, base.RUNNING) and wait_for(self.task, self._spin_ns, timeout):
            self._settle_cancelled()

    def result(self, timeout: float | None = None) -> Any:
        """What the callable returned, or raises what it raised."""
        try:
            self._wait(timeout)
            return super().result(0)
        finally:
            del self  # the traceback of the exception refers to this frame

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the callable raised, or None."""
        self._wait(timeout)
        return super().exception(0)

    def cancel(self) -> bool:
        """Cancels the call if no worker has taken it. Returns whether it will not run."""
        carry_through(self._settle_cancelled)
        return self.cancelled()

    def fail(self, error: BaseException) -> None:
        """Cancels the call if no worker has taken it; its result is then this exception."""
        if _state_of(self.task) < _RUNNING:
            self._failure = error  # before the state changes: a reader of the new state reads the error, too
            carry_through(self._settle_cancelled)

    def _settle_cancelled(self) -> None:
        """Cancels the task and settles the future. Called again, by any thread, it does what is left to do."""
        lib.kt_task_cancel(self.task)
        if _state_of(self.task) not in (_CANCELLED, _GONE):
            return
        if self._failure is None:
            notify_cancelled(self)
        else:
            with suppress(InvalidStateError):
                self.set_exception(self._failure)
        self._invoke_callbacks()
        release_cancelled(self.task)


class PythonTask:
    """A Python callable as a task. It settles its future itself, as it runs with the GIL.

    Attributes:
        task: the ``kt_task *``.
        future: of concurrent.futures.
        owner: the number that the tasks of its pool have in common.
    """

    __slots__ = ("_call", "future", "owner", "task")

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], owner: int, spin_ns: int
    ) -> None:
        self._call = (fn, args, kwargs)
        self.owner = owner
        task = self.task = _new(_TASK, _template[0])
        task.call.integers[0] = id(self)
        task.tag = next_tag()
        self.future = PythonFuture(task, spin_ns)

    def __call__(self) -> None:
        _last.task = self.task
        if not here.is_attached:
            attach()
        try:
            call_into(self.future, *self._take_call())
        except BaseException:  # a callback has raised it
            base.LOGGER.critical("Exception in worker", exc_info=True)
        finally:
            self.unregister()
            del self  # the traceback of an exception refers to the caller's frame, and that to this one

    def queue_at_once(self, pool: int) -> bool:
        """Never: only native tasks are."""
        return False

    def register(self) -> None:
        if len(registered) + len(_cancelled) >= _threshold.size:
            unregister_ended()
        registered[self.task.tag] = self

    def unregister(self) -> None:
        registered.pop(self.task.tag, None)

    def ensure_drained(self) -> None:
        """Does nothing: the task settles its future itself."""

    def cancel(self) -> bool:
        return self.future.cancel()

    def fail(self, error: BaseException) -> None:
        self.future.fail(error)

    def abandon_in_child(self) -> None:
        self.unregister()
        abandon_future(self.future)

    def _take_call(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """The callable and its arguments, which the task no longer refers to: its result may be kept for long."""
        call = self._call
        del self._call
        return call


def release_cancelled(task: Any) -> None:
    """Lets go of all of a cancelled task but its memory, a ``kt_task *``: it may wait in the queue for long. Called again,
    it does what an exception has kept it from, or nothing."""
    if task.tag in registered:
        _cancelled[task.tag] = task
        registered.pop(task.tag, None)


def unregister_ended() -> None:
    """Unregisters the tasks that have ended, and the cancelled ones that have left the queue."""
    for tag, task in registered.copy().items():
        if _state_of(task.task) in (_DONE, _GONE):
            registered.pop(tag, None)
    for tag, memory in _cancelled.copy().items():
        if _state_of(memory) == _GONE:
            _cancelled.pop(tag, None)
    _threshold.reset(len(registered) + len(_cancelled))


def python_tasks_of(owner: int) -> list[PythonTask]:
    """The Python tasks of one pool that have not ended."""
    return [task for task in registered.copy().values() if task.owner == owner]


@lifecycle.in_a_forked_child.add
def reset_after_fork() -> None:
    """In a forked child: ends the tasks, which are the parent's, except the one that has forked."""
    global registered, _cancelled
    forking = getattr(_last, "task", None)
    tasks = contents(registered.values())
    registered, _cancelled = {}, {}
    for_each(lambda task: task.register() if task.task is forking else task.abandon_in_child(), tasks)
