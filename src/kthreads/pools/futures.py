"""Tasks: calls that a pool makes, and their futures. Who waits in `result()` is woken by the worker itself."""

from __future__ import annotations

import errno
import operator
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future, InvalidStateError
from concurrent.futures import _base as base
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from kthreads import deadline
from kthreads._native import ffi, lib
from kthreads.functions.function import NativeFunction
from kthreads.iteration import carry_through, for_each
from kthreads.pools.completions import LEAST, Collector, Expected, native_tasks_of, next_tag

__all__ = [
    "PythonTask", "Submitted", "TaskFuture", "break_future", "call_into", "forget_after_fork", "lost", "notify_cancelled",
    "tasks_of", "wait_for",
]  # fmt: skip

_TASK = ffi.typeof("kt_task *")
_new, _buffer, _state_of = ffi.new, ffi.buffer, lib.kt_task_state_of
_RUNNING, _DONE = lib.KT_TASK_RUNNING, lib.KT_TASK_DONE
_CANCELLED, _GONE = lib.KT_TASK_CANCELLED, lib.KT_TASK_GONE


class Submitted(Expected, Protocol):
    """What is submitted: a call, or what stands for several."""

    def enlist(self) -> None:
        """Has its memory kept alive until it comes back, or `withdraw` is called."""

    def expect_back(self) -> None:
        """It is queued: has somebody look for it."""


# ---- Futures ----------------------------------------------------------------------------------------------------------------


def wait_for(task: Any, spin_ns: int, timeout: float | None) -> bool:
    """Whether a ``kt_task *`` is over after at most so many seconds. Spins at first for what a wake-up would cost."""
    limit = deadline.after(timeout)
    while (code := lib.kt_task_wait(task, spin_ns, deadline.slice_ns(limit))) != 0:
        spin_ns = 0
        if code == -errno.ETIMEDOUT and deadline.has_passed(limit):
            return False
    return True


def notify_cancelled(future: Future[Any]) -> None:
    """Has a future say that it was cancelled, to all who wait for it. Called again it does nothing, or what an exception
    has kept it from."""
    base.Future.cancel(future)
    claim = object()
    try:
        # One at a time, and nobody waits: who comes in between, such as a signal handler, leaves it to the other.
        if future.__dict__.setdefault("_notifying", claim) is claim and future._state == base.CANCELLED:
            future.set_running_or_notify_cancel()
    finally:
        if future.__dict__.get("_notifying") is claim:
            del future.__dict__["_notifying"]


def break_future(future: Future[Any]) -> None:
    """In a forked child: ends a future of the parent, whose lock another thread of the parent may have had."""
    future._condition = threading.Condition()
    if future._state in (base.PENDING, base.RUNNING):
        future._exception = lost()
        future._state = base.FINISHED


def lost() -> BrokenExecutor:
    """What the futures of a parent's tasks have in a forked child."""
    return BrokenExecutor("the task was the parent's, and this is a process that it forked")


class _CallingFuture(Future[Any]):
    """A future that calls each of its callbacks once, whatever another one raises or a signal handler comes between."""

    _done_callbacks: list[Callable[[Future[Any]], object]]

    def _invoke_callbacks(self) -> None:
        callbacks, failure = self._done_callbacks, None
        first = iter(partial(callbacks.pop, 0), None)
        while callbacks:
            try:
                # Taken out and called by one call into C: no exception of a signal handler comes in between.
                next(map(operator.call, first, (self,)))
            except Exception as error:
                if not (isinstance(error, IndexError) and error.__traceback__ and error.__traceback__.tb_next is None):
                    base.LOGGER.exception("exception calling callback for %r", self)
                # else another thread has taken the last one
            except BaseException as error:
                failure = failure or error
        if failure is not None:
            try:
                raise failure
            finally:
                del failure, self  # its traceback has this frame


# ---- Native tasks --------------------------------------------------------------------------------------------------------

_INNARDS = frozenset(vars(Future()))


class TaskFuture(_CallingFuture):
    """The future of a native function: a concurrent.futures.Future whose call never takes the GIL.

    What it knows it asks the engine. The attributes of its base class come to be when somebody wants them, as do
    `add_done_callback`, concurrent.futures.wait and asyncio; from then on it is settled by its collector.

    Signal handlers and finalizers may use it at any time, so it has no lock but that of its base class, which a thread may
    take again: what it does in several steps may be done by several, or begun again after an exception.

    Attributes:
        task: the ``kt_task *``.
        owner: a number by which the collector finds the futures of one pool.

    Raises:
        TypeError, ValueError, OverflowError: an argument is not one for the function.
    """

    __slots__ = ("_error", "_function", "_home", "_keep", "_spin_ns", "owner", "task")

    def __init__(
        self, function: NativeFunction, args: Sequence[Any], home: Collector, owner: int, spin_ns: int = 0
    ) -> None:
        task = self.task = _new(_TASK)
        task.call = function.template
        self._keep = function.fill(_buffer(task), args)
        self._function, self._home, self._spin_ns, self.owner = function, home, spin_ns, owner
        self._error: BaseException | None = None
        task.completions = home.cdata
        task.tag = next_tag()

    def __getattr__(self, name: str) -> Any:
        if name not in _INNARDS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        # First watched, then there, then looked at: if the task ends in between, either its collector settles what is
        # there, or this does.
        lib.kt_task_watch(self.task)
        for innard, value in vars(Future()).items():
            self.__dict__.setdefault(innard, value)  # those of the first who comes, for all
        self.settle()
        return self.__dict__[name]

    # ---- Submitted -----------------------------------------------------------------------------------------------------

    def enlist(self) -> None:
        self._home.expect(self.task.tag, self)

    def withdraw(self) -> None:
        self._home.pending.pop(self.task.tag, None)

    def expect_back(self) -> None:
        self._home.start()

    def settle(self) -> None:
        """Takes over what the task left behind, if it is over."""
        state = _state_of(self.task)
        if state < _DONE:
            return
        self._keep = ()
        if "_condition" not in self.__dict__:
            return
        with suppress(InvalidStateError):  # it was settled before, perhaps by the user
            if state == _DONE:
                self.set_result(self._value())
            elif self._error is not None:
                self.set_exception(self._error)
            else:
                notify_cancelled(self)
        self._invoke_callbacks()  # which an exception may have kept from it

    def lose(self) -> None:
        """In a forked child: ends it, unless the task was over before."""
        if _state_of(self.task) < _DONE:
            self._error = lost()
            self.task.state = _CANCELLED
        if "_condition" in self.__dict__:
            break_future(self)

    def fail(self, error: BaseException) -> None:
        """Keeps the function from being called, if it has not begun, and has an exception instead."""
        if _state_of(self.task) < _RUNNING:
            self._error = error  # before the state, by which it counts
            if lib.kt_task_cancel(self.task) == 0:
                self.settle()

    # ---- A future ------------------------------------------------------------------------------------------------------

    def _ended(self, timeout: float | None) -> None:
        if not wait_for(self.task, self._spin_ns, timeout):
            raise TimeoutError
        self._keep = ()

    def result(self, timeout: float | None = None) -> Any:
        """What the function returned; see concurrent.futures.Future.result."""
        if (error := self.exception(timeout)) is not None:
            try:
                raise error
            finally:
                del self, error  # its traceback has this frame
        return self._value()

    def _value(self) -> Any:
        return self._function.read(self.task.call.result)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """None, for a native function, when it has ended; see concurrent.futures.Future.exception."""
        self._ended(timeout)
        if _state_of(self.task) == _DONE:
            return None
        if self._error is None:
            raise CancelledError
        return self._error

    def done(self) -> bool:
        """Whether the call has ended or was cancelled."""
        self.settle()
        return bool(_state_of(self.task) >= _DONE)

    def running(self) -> bool:
        """Whether the call is being made."""
        return bool(_state_of(self.task) == _RUNNING)

    def cancelled(self) -> bool:
        """Whether it was cancelled before the call began."""
        return bool(_state_of(self.task) == _CANCELLED) and self._error is None

    def cancel(self) -> bool:
        """Keeps the function from being called, if it has not begun. Returns whether it will not be."""
        if lib.kt_task_cancel(self.task) == 0:
            self.settle()
        return self.cancelled()

    @property
    def errno(self) -> int:
        """errno as the function left it, once it has ended; it was 0 when the function began."""
        return int(self.task.call.error)


# ---- Python tasks --------------------------------------------------------------------------------------------------------

_python_template = _new(_TASK)
_python_template.call.function = ffi.cast("kt_function", ffi.addressof(lib, "kt_python_task"))


def call_into(future: Future[Any], fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Calls a Python callable for its future, unless that was cancelled."""
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
        del future, fn, args, kwargs  # the future has the exception, which has this frame


class PythonFuture(_CallingFuture):
    """The future of a Python callable. Who waits for it waits in the engine, without a lock between two threads."""

    __slots__ = ("_failure", "_spin_ns", "task")

    def __init__(self, task: Any, spin_ns: int) -> None:
        super().__init__()
        self.task, self._spin_ns = task, spin_ns
        self._failure: BaseException | None = None

    def _await(self, timeout: float | None) -> None:
        """Waits. Where somebody has cancelled the task and did not say so yet, this does."""
        if self._state in (base.PENDING, base.RUNNING) and wait_for(self.task, self._spin_ns, timeout):
            self._end_without_call()

    def result(self, timeout: float | None = None) -> Any:
        """What the callable returned, or raises what it raised."""
        try:
            self._await(timeout)
            return super().result(0)
        finally:
            del self  # the traceback of its exception has this frame

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the callable raised, or None."""
        self._await(timeout)
        return super().exception(0)

    def cancel(self) -> bool:
        """Keeps the callable from being called, if no worker has taken it. Returns whether it will not be."""
        carry_through(self._end_without_call)
        return self.cancelled()

    def fail(self, error: BaseException) -> None:
        """The same, with an exception as its result."""
        if _state_of(self.task) < _RUNNING:
            self._failure = error  # before the state, by which it counts
            carry_through(self._end_without_call)

    def _end_without_call(self) -> None:
        """Begun again after an exception, or by another thread, it does what is left to do."""
        lib.kt_task_cancel(self.task)
        if _state_of(self.task) not in (_CANCELLED, _GONE):
            return
        if self._failure is None:
            notify_cancelled(self)
        else:
            with suppress(InvalidStateError):
                self.set_exception(self._failure)
        self._invoke_callbacks()


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
        task.tag = next_tag()
        self.future = PythonFuture(task, spin_ns)

    def __call__(self) -> None:
        _last.task = self.task
        try:
            call_into(self.future, *self._take_call())
        finally:
            self.withdraw()
            del self  # an exception has the frame of the call, which has this one behind it

    # ---- Submitted -----------------------------------------------------------------------------------------------------

    def enlist(self) -> None:
        if len(_python_tasks) >= _sweep_at:
            _sweep_python()
        _python_tasks[self.task.tag] = self

    def withdraw(self) -> None:
        _python_tasks.pop(self.task.tag, None)

    def expect_back(self) -> None:
        """It settles its future itself."""

    def settle(self) -> None:
        """It does so itself."""

    def cancel(self) -> bool:
        return self.future.cancel()

    def fail(self, error: BaseException) -> None:
        self.future.fail(error)

    def lose(self) -> None:
        self.withdraw()
        break_future(self.future)

    def _take_call(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        """What to call, which nothing here holds any longer: its result or exception may be held for long."""
        call = self._call
        del self._call
        return call


def _sweep_python() -> None:
    """Lets go of cancelled tasks that have left the queue, each time the number has doubled, which costs little."""
    global _sweep_at
    for tag, task in _python_tasks.copy().items():
        if _state_of(task.task) in (_DONE, _GONE):
            _python_tasks.pop(tag, None)
    _sweep_at = max(LEAST, 2 * len(_python_tasks))


# ---- All -----------------------------------------------------------------------------------------------------------------


def tasks_of(owner: int) -> list[Any]:
    """The tasks of one pool that have not come back."""
    return native_tasks_of(owner) + [task for task in _python_tasks.copy().values() if task.owner == owner]


def forget_after_fork() -> None:
    """In a forked child: the tasks are the parent's, but for the one that has forked."""
    forking = getattr(_last, "task", None)
    for_each(PythonTask.lose, [task for task in list(_python_tasks.values()) if task.task is not forking])
