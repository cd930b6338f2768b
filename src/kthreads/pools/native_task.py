"""Calls of native functions as tasks, and their futures."""

from __future__ import annotations

from concurrent.futures import CancelledError, Future, InvalidStateError
from concurrent.futures import _base as base
from contextlib import suppress
from typing import Any

from kthreads import _call, deadline
from kthreads._native import ffi, lib
from kthreads.functions.function import NativeFunction
from kthreads.pools.completions import CompletionQueue, next_tag
from kthreads.pools.futures import CallbackFuture, abandon_future, abandoned_error, notify_cancelled, wait_for

__all__ = ["NativeFuture"]

_TASK = ffi.typeof("kt_task *")
_SUBMIT = int(ffi.cast("uintptr_t", ffi.addressof(lib, "kt_pool_submit")))
_state_of, _task_wait = lib.kt_task_state_of, lib.kt_task_wait
_RUNNING, _DONE, _CANCELLED = lib.KT_TASK_RUNNING, lib.KT_TASK_DONE, lib.KT_TASK_CANCELLED

_FUTURE_ATTRIBUTES = frozenset(vars(Future()))


class NativeFuture(CallbackFuture):
    """The future of a native function: a concurrent.futures.Future whose call never takes the GIL.

    It asks the engine for its state. The attributes of its base class are made when a caller needs them, such as
    `add_done_callback`, concurrent.futures.wait or asyncio; from then on its completion queue settles it.

    Signal handlers and finalizers may use it at any time. So its only lock is that of its base class, which a thread may
    take again, and several callers may make its steps at once, or repeat them after an exception.

    Attributes:
        task: the ``kt_task *``.
        owner: the number that the tasks of its pool have in common.

    Raises:
        TypeError, ValueError, OverflowError: an argument is not one for the function.
    """

    __slots__ = ("_completions", "_error", "_function", "_held", "_spin_ns", "_tag", "owner", "task")

    def __init__(
        self,
        function: NativeFunction,
        args: tuple[Any, ...],
        completions: CompletionQueue,
        owner: int,
        spin_ns: int = 0,
    ) -> None:
        tag = self._tag = next_tag()
        self._held, self.task = function.task(args, completions.address, tag, _TASK)
        self._function, self._completions, self._spin_ns, self.owner = function, completions, spin_ns, owner
        self._error: BaseException | None = None

    def __getattr__(self, name: str) -> Any:
        if name not in _FUTURE_ATTRIBUTES:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)
        # The order matters: watch the task, make the attributes, look at the task. If the task ends in between, either
        # the completion queue finds the attributes and settles them, or this call does.
        lib.kt_task_watch(self.task)
        for attribute, value in vars(Future()).items():
            self.__dict__.setdefault(attribute, value)  # all callers get those of the first one
        self.settle()
        return self.__dict__[name]

    def queue_at_once(self, pool: int) -> bool:
        """Registers and queues the task, if there is room in the queue of the pool."""
        completions = self._completions
        if not _call.queue_task(_SUBMIT, pool, self._held, completions.pending, self._tag, self):
            return False
        completions.expect_more()
        completions.ensure_drained()
        return True

    def register(self) -> None:
        self._completions.expect(self._tag, self)

    def unregister(self) -> None:
        self._completions.pending.pop(self._tag, None)

    def ensure_drained(self) -> None:
        self._completions.ensure_drained()

    def settle(self) -> None:
        """Takes over the outcome of the task, if it has ended."""
        state = _state_of(self.task)
        if state < _DONE:
            return
        self._release()
        if "_condition" not in self.__dict__:
            return
        with suppress(InvalidStateError):  # it was settled before, perhaps by the user
            if state == _DONE:
                self.set_result(self._value())
            elif self._error is not None:
                self.set_exception(self._error)
            else:
                notify_cancelled(self)
        self._invoke_callbacks()  # those that an exception has kept from being called

    def abandon_in_child(self) -> None:
        """In a forked child: ends the future, unless the task had ended before the fork."""
        if _state_of(self.task) < _DONE:
            self._error = abandoned_error()
            self.task.state = _CANCELLED
        if "_condition" in self.__dict__:
            abandon_future(self)

    def fail(self, error: BaseException) -> None:
        """Cancels the call if it has not begun; its result is then this exception."""
        if _state_of(self.task) < _RUNNING:
            self._error = error  # before the state changes: a reader of the new state reads the error, too
            if lib.kt_task_cancel(self.task) == 0:
                self.settle()

    def _release(self) -> None:
        self._held.release()

    def _wait(self, timeout: float | None) -> None:
        # Whether this is the main thread, which waits in slices, is asked only if the first slice was not enough.
        has_ended = timeout is None and _task_wait(self.task, self._spin_ns, deadline.SLICE_NS) == 0
        if not has_ended and not wait_for(self.task, self._spin_ns, timeout):
            raise TimeoutError
        self._release()

    def result(self, timeout: float | None = None) -> Any:
        """What the function returned; see concurrent.futures.Future.result."""
        self._wait(timeout)
        if _state_of(self.task) == _DONE:
            return self._value()
        if (error := self.exception(timeout)) is not None:
            try:
                raise error
            finally:
                del self, error  # the traceback refers to this frame
        return self._value()

    def _value(self) -> Any:
        return self._function.read(self.task.call.result)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """None for a native function that has ended; see concurrent.futures.Future.exception."""
        self._wait(timeout)
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
        """Whether a worker runs the call now."""
        return bool(_state_of(self.task) == _RUNNING)

    def cancelled(self) -> bool:
        """Whether the call was cancelled before it began."""
        return bool(_state_of(self.task) == _CANCELLED) and self._error is None

    def cancel(self) -> bool:
        """Cancels the call if it has not begun. Returns whether it will not run."""
        if lib.kt_task_cancel(self.task) == 0:
            self.settle()
        return self.cancelled()

    def __repr__(self) -> str:
        if self._state in (base.PENDING, base.RUNNING):  # else an attempt to settle it may ask for this text
            self.settle()
        text = super().__repr__()  # the base class does not know that a worker runs the call
        return text.replace("=pending", "=running") if self.running() else text

    @property
    def errno(self) -> int:
        """The errno that the function left, once it has ended. It was 0 when the function began."""
        return int(self.task.call.error)
