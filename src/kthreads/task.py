"""Tasks: calls that a pool makes, and their futures. Who waits in `result()` is woken by the worker itself."""

from __future__ import annotations

import errno
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future
from concurrent.futures import _base as base
from typing import Any

from kthreads._native import ffi, lib
from kthreads.collector import LEAST, Collector, native_tasks_of, next_tag
from kthreads.native import NativeFunction
from kthreads.thread import slice_until

__all__ = ["PythonTask", "TaskFuture", "break_future", "call_into", "lost", "tasks_of", "wait_for"]

_TASK = ffi.typeof("kt_task *")
_new, _buffer, _state_of = ffi.new, ffi.buffer, lib.kt_task_state_of
_DONE, _CANCELLED, _GONE = lib.KT_TASK_DONE, lib.KT_TASK_CANCELLED, lib.KT_TASK_GONE


# ---- Futures ----------------------------------------------------------------------------------------------------------------


def wait_for(task: Any, spin_ns: int, timeout: float | None) -> bool:
    """Whether a ``kt_task *`` is over after at most so many seconds. Spins at first for what a wake-up would cost."""
    deadline = None if timeout is None else time.monotonic_ns() + max(0, int(timeout * 1e9))
    while (code := lib.kt_task_wait(task, spin_ns, slice_until(deadline))) != 0:
        spin_ns = 0
        if code == -errno.ETIMEDOUT and deadline is not None and time.monotonic_ns() >= deadline:
            return False
    return True


def break_future(future: Future[Any]) -> None:
    """In a forked child: ends a future of the parent, whose lock another thread of the parent may have had."""
    future._condition = threading.Condition()
    if future._state in (base.PENDING, base.RUNNING):
        future._exception = lost()
        future._state = base.FINISHED


def lost() -> BrokenExecutor:
    """What the futures of a parent's tasks have in a forked child."""
    return BrokenExecutor("the task was the parent's, and this is a process that it forked")


# ---- Native tasks --------------------------------------------------------------------------------------------------------

_INNARDS = frozenset(vars(Future()))
_growing = threading.Lock()


class TaskFuture(Future[Any]):
    """The future of a native function: a concurrent.futures.Future whose call never takes the GIL.

    What it knows it asks the engine. The attributes of its base class come to be when somebody wants them, as do
    `add_done_callback`, concurrent.futures.wait and asyncio; from then on it is settled by its collector.

    Attributes:
        task: the ``kt_task *``.
        owner: a number by which the collector finds the futures of one pool.

    Raises:
        TypeError, ValueError, OverflowError: an argument is not one for the function.
    """

    __slots__ = ("_error", "_function", "_home", "_keep", "_settled", "_spin_ns", "owner", "task")

    def __init__(
        self, function: NativeFunction, args: Sequence[Any], home: Collector, owner: int, spin_ns: int = 0
    ) -> None:
        task = self.task = _new(_TASK)
        task.call = function.template
        self._keep = function.fill(_buffer(task), args)
        self._function, self._home, self._spin_ns, self.owner = function, home, spin_ns, owner
        self._error: BaseException | None = None
        self._settled = False
        task.completions = home.cdata
        task.tag = home.expect(self)

    def __getattr__(self, name: str) -> Any:
        if name not in _INNARDS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        with _growing:
            if "_condition" not in self.__dict__:
                super().__init__()
        if lib.kt_task_watch(self.task) != 0:
            self.settle()
        return self.__dict__[name]

    def settle(self) -> None:
        """Takes over what the task left behind, if it is over. Done twice it does no harm."""
        state = _state_of(self.task)
        if state < _DONE:
            return
        self._keep = ()
        if "_condition" not in self.__dict__:
            return
        with _growing:
            if self._settled:
                return
            self._settled = True
        if self._error is not None:
            self.set_exception(self._error)
        elif state == _DONE:
            self.set_result(self._value())
        else:
            super().cancel()
            self.set_running_or_notify_cancel()

    def withdraw(self) -> None:
        """Takes back what was never queued."""
        self._home.pending.pop(self.task.tag, None)

    def lose(self) -> None:
        """In a forked child: ends it, unless the task was over before."""
        if _state_of(self.task) < _DONE:
            self._error = lost()
            self.task.state = _CANCELLED
        if "_condition" in self.__dict__:
            break_future(self)

    def fail(self, error: BaseException) -> None:
        """Keeps the function from being called, if it has not begun, and has an exception instead."""
        self._end_without_call(error)

    def _end_without_call(self, error: BaseException | None) -> bool:
        with _growing:  # who sees the state sees the exception
            if lib.kt_task_cancel(self.task) != 0:
                return False
            self._error = error
        self.settle()
        return True

    def _ended(self, timeout: float | None) -> None:
        if not wait_for(self.task, self._spin_ns, timeout):
            raise TimeoutError
        self._keep = ()
        if _state_of(self.task) == _CANCELLED:
            with _growing:
                error = self._error
            if error is None:
                raise CancelledError

    def result(self, timeout: float | None = None) -> Any:
        """What the function returned; see concurrent.futures.Future.result."""
        self._ended(timeout)
        if self._error is not None:
            raise self._error
        return self._value()

    def _value(self) -> Any:
        return self._function.read(self.task.call.result)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """None, for a native function, when it has ended; see concurrent.futures.Future.exception."""
        self._ended(timeout)
        return self._error

    def done(self) -> bool:
        """Whether the call has ended or was cancelled."""
        self.settle()
        return bool(_state_of(self.task) >= _DONE)

    def running(self) -> bool:
        """Whether the call is being made."""
        return bool(_state_of(self.task) == lib.KT_TASK_RUNNING)

    def cancelled(self) -> bool:
        """Whether it was cancelled before the call began."""
        return bool(_state_of(self.task) == _CANCELLED) and self._error is None

    def cancel(self) -> bool:
        """Keeps the function from being called, if it has not begun. Returns whether it will not be."""
        return self._end_without_call(None) or self.cancelled()

    @property
    def errno(self) -> int:
        """errno as the function left it, once it has ended; it was 0 when the function began."""
        return int(self.task.call.error)


# ---- Python tasks --------------------------------------------------------------------------------------------------------

_python_template = _new(_TASK)
_python_template.call.function = ffi.cast("kt_function", ffi.addressof(lib, "kt_python_task"))


def call_into(future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Calls a Python callable for its future, unless that was cancelled."""
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = fn(*args, **kwargs)
    except BaseException as error:
        future.set_exception(error)
        del future  # which has the exception, which has this frame
    else:
        future.set_result(result)


class PythonFuture(Future[Any]):
    """The future of a Python callable. Who waits for it waits in the engine, without a lock between two threads."""

    __slots__ = ("_spin_ns", "task")

    def __init__(self, task: Any, spin_ns: int) -> None:
        super().__init__()
        self.task, self._spin_ns = task, spin_ns

    def _await(self, timeout: float | None) -> float | None:
        """Waits, and returns for how long the base class is to wait: for who has cancelled the task and is about to say so."""
        if self._state in (base.PENDING, base.RUNNING):
            wait_for(self.task, self._spin_ns, timeout)
            if _state_of(self.task) in (_CANCELLED, _GONE):
                return None
        return 0

    def result(self, timeout: float | None = None) -> Any:
        """What the callable returned, or raises what it raised."""
        return super().result(self._await(timeout))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the callable raised, or None."""
        return super().exception(self._await(timeout))

    def cancel(self) -> bool:
        """Keeps the callable from being called, if no worker has taken it. Returns whether it will not be."""
        if lib.kt_task_cancel(self.task) == 0:
            super().cancel()
            self.set_running_or_notify_cancel()
        return self.cancelled()


# Those that have not ended, whoever holds the pool: the engine uses their memory.
_python_tasks: dict[int, PythonTask] = {}
_sweep_at = LEAST

# `task` is the last that a thread has begun: the engine uses it until it gives the thread another.
_last = threading.local()


class PythonTask:
    """A Python callable as a task: it settles its future itself, as it has the GIL.

    Attributes:
        task: the ``kt_task *``.
        future: of concurrent.futures.
        owner: a number by which the tasks of one pool are found.
    """

    __slots__ = ("_call", "future", "owner", "task")

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], owner: int, spin_ns: int
    ) -> None:
        self._call = (fn, args, kwargs)
        self.owner = owner
        task = self.task = _new(_TASK, _python_template[0])
        task.call.integers[0] = id(self)
        task.tag = tag = next_tag()
        self.future = PythonFuture(task, spin_ns)
        if len(_python_tasks) >= _sweep_at:
            _sweep_python()
        _python_tasks[tag] = self

    def __call__(self) -> None:
        _last.task = self.task
        call_into(self.future, *self._take_call())
        self.withdraw()

    def _take_call(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """What to call, which nothing here holds any longer: its result or exception may be held for long."""
        call = self._call
        del self._call
        return call

    def withdraw(self) -> None:
        """Takes back what was never queued, or has ended."""
        _python_tasks.pop(self.task.tag, None)

    def cancel(self) -> None:
        """Keeps the callable from being called, if it has not begun."""
        self.future.cancel()

    def fail(self, error: BaseException) -> None:
        """Keeps the callable from being called, if it has not begun, and has an exception instead."""
        if lib.kt_task_cancel(self.task) == 0 and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


def _sweep_python() -> None:
    """Lets go of cancelled tasks that have left the queue, each time the number has doubled, which costs little."""
    global _sweep_at
    for tag, task in list(_python_tasks.items()):
        if _state_of(task.task) in (_DONE, _GONE):
            _python_tasks.pop(tag, None)
    _sweep_at = max(LEAST, 2 * len(_python_tasks))


# ---- All -----------------------------------------------------------------------------------------------------------------


def tasks_of(owner: int) -> list[Any]:
    """The tasks of one pool that have not come back."""
    return native_tasks_of(owner) + [task for task in list(_python_tasks.values()) if task.owner == owner]


def _forget() -> None:
    """In a forked child: the tasks are the parent's, but for the one that has forked, and so may be the holder of the
    lock."""
    global _growing
    _growing = threading.Lock()
    forking = getattr(_last, "task", None)
    for task in list(_python_tasks.values()):
        if task.task is not forking:
            task.withdraw()
            break_future(task.future)


os.register_at_fork(after_in_child=_forget)
