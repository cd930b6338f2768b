"""The handle of a pool of the engine, as `Pool` and `ThreadPoolExecutor` use it.

The rule for every call into C that hands memory over
    A signal handler may raise an exception between any two bytecodes. So a caller that hands memory to C

    1. registers the memory where it stays alive, within the try block whose clean-up unregisters it,
    2. calls C once, and C writes into that memory what it has taken: the state of a task, the handle of a thread, the pid
       of a process,
    3. reads that memory in the clean-up, never a variable that was to be assigned from what C returned.

    Where the clean-up is itself cut short, as by a storm of signals, memory stays registered: it is leaked, not freed.
    tests/faults raises an exception at each bytecode of what hands memory over, and looks for what is left.
"""

from __future__ import annotations

import errno
import functools
import queue
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kthreads import deadline
from kthreads._native import ffi, lib
from kthreads.functions.function import NativeFunction
from kthreads.iteration import for_each
from kthreads.pools.completions import CompletionQueue, shared_completions
from kthreads.pools.native_task import NativeFuture
from kthreads.pools.python_task import PythonTask
from kthreads.pools.tasks import Task, tasks_of

__all__ = ["PoolHandle"]

_NEW = lib.KT_TASK_NEW
_submit, _state_of = lib.kt_pool_submit, lib.kt_task_state_of


class PoolHandle:
    """The one owner of a ``kt_pool *``: it knows whether the pool is open, and is the only way in for tasks.

    Args:
        keep: what the pointers of the ``kt_pool_spec`` point to, kept until the pool is freed.
        error: makes the exception for a positive errno value.
        wait_spin_ns: how long a waiter for a task spins before it sleeps, in nanoseconds.

    Attributes:
        cdata: the ``kt_pool *``, valid as long as this object.
        address: the same as a number.
        closed_error: makes the exception that submitting raises; None while the pool is open.
        broken: an initializer has failed.
    """

    def __init__(self, keep: object, error: Callable[[int], Exception], wait_spin_ns: int) -> None:
        self.error, self.wait_spin_ns = error, wait_spin_ns
        self.closed_error: Callable[[], Exception] | None = None
        self.broken = False
        # Freed with its last user: a prepared loop may run while another thread shuts the pool down. A function of C frees
        # it, as a signal handler's exception may cut a finalizer in Python short.
        free = functools.partial(lib.kt_python_pool_free, ffi.new_handle(keep))
        self._cdata_at = ffi.gc(ffi.new("kt_pool **"), free)

    def start(self, spec: Any) -> None:
        """Makes the pool and starts its threads.

        Args:
            spec: the ``kt_pool_spec *``.

        Raises:
            what `error` makes: the threads could not be started; none is left behind.
        """
        if (code := lib.kt_pool_new(self._cdata_at, spec)) < 0:
            raise self.error(-code)
        self.cdata = self._cdata_at[0]
        self.address = int(ffi.cast("uintptr_t", self.cdata))

    def open_cdata(self) -> Any:
        """The ``kt_pool *``. Raises what `closed_error` makes, if the pool is closed."""
        if self.closed_error is not None:
            raise self.closed_error()
        return self.cdata

    def error_of(self, code: int) -> Exception:
        """The exception for a positive errno value that the engine has refused work with."""
        return self.error(code) if self.closed_error is None else self.closed_error()

    @property
    def workers(self) -> int:
        """How many threads run a loop, its caller included, and how many tasks run at once."""
        return int(lib.kt_pool_workers(self.cdata))

    def native_task(
        self,
        function: NativeFunction,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        completions: CompletionQueue | None = None,
    ) -> NativeFuture:
        """A call of a native function, to be submitted.

        Args:
            completions: the queue that it comes back through; None for the one of concurrent.futures.

        Raises:
            TypeError, ValueError, OverflowError: an argument is not one for the function.
        """
        if kwargs:
            raise TypeError("a native function takes no keyword arguments")
        return NativeFuture(function, args, completions or shared_completions(), id(self), self.wait_spin_ns)

    def python_task(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> PythonTask:
        """A call of a Python callable, to be submitted."""
        return PythonTask(fn, args, kwargs, id(self), self.wait_spin_ns)

    def submit(self, tasks: Sequence[Task], wait: bool = True) -> None:
        """Queues tasks. After an exception, no task begins that had not begun.

        Args:
            wait: whether to wait while the queue is full, instead of raising queue.Full.
        """
        try:
            if len(tasks) != 1 or self.closed_error is not None or not tasks[0].queue_at_once(self.address):
                for task in tasks:
                    task.register()
                self._queue(tasks, wait)
            if self.broken:  # since the queue was looked at: the tasks that waited then have failed
                self.open_cdata()
        except BaseException:
            try:
                for_each(_take_back, tasks)
            except BaseException:
                for_each(_take_back, tasks)  # a signal handler has cut it short
                raise
            raise

    def _queue(self, tasks: Sequence[Task], wait: bool) -> None:
        waiting = [task.task for task in tasks]
        while waiting:
            # In slices, so that a shutdown ends the wait for room, too.
            code = _submit(self.open_cdata(), waiting, len(waiting), deadline.SLICE_NS if wait else 0)
            if code == -errno.EAGAIN and not wait:
                raise queue.Full("the pool's queue is full: queue_size tasks wait")
            if code < 0 and code not in (-errno.EAGAIN, -errno.EINTR):
                raise self.error_of(-code)
            if code > 0:
                del waiting[:code]
                tasks[0].ensure_drained()

    def tasks(self) -> list[Task]:
        """The tasks that have not completed."""
        return tasks_of(id(self))

    def close(self, closed_error: Callable[[], Exception]) -> None:
        """Closes the pool: submitting raises what `closed_error` makes from now on."""
        if self.closed_error is None:
            self.closed_error = closed_error

    def cancel_waiting(self) -> None:
        """Cancels the tasks that have not begun."""
        for_each(lambda task: task.cancel(), self.tasks())

    def mark_broken(self, closed_error: Callable[[], Exception]) -> None:
        """Closes the pool because an initializer has failed. The tasks that have not begun fail."""
        self.closed_error, self.broken = closed_error, True
        for_each(lambda task: task.fail(closed_error()), self.tasks())


def _take_back(task: Task) -> None:
    if _state_of(task.task) == _NEW:
        task.unregister()
    else:
        task.cancel()
