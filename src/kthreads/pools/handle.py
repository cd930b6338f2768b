"""A pool of the engine as its owner in Python sees it: `Pool` and `ThreadPoolExecutor` each have one.

The rule for every call into C that takes something over
    An exception of a signal handler may come between any two bytecodes. So whoever hands memory over to C

    1. has it registered where it stays alive, within the try block whose clean-up takes it out again,
    2. calls C once, and C writes into that memory what it has taken: the state of a task, the handle of a thread, the pid
       of a process;
    3. lets the clean-up read that memory, never a variable that was to be assigned from what C returned.

    Where the clean-up is itself cut short, as by a storm of signals, memory stays registered: it is leaked, not freed.
    tests/faults raises an exception at each bytecode of what hands something over, and looks for what is left.
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
from kthreads.pools.completions import Collector, collector
from kthreads.pools.futures import PythonTask, Submitted, TaskFuture, tasks_of

__all__ = ["Engine"]

_NEW = lib.KT_TASK_NEW
_submit, _state_of = lib.kt_pool_submit, lib.kt_task_state_of


class Engine:
    """The one owner of a ``kt_pool *``: whether work is taken, why not, and the one way in for tasks.

    Args:
        keep: what the pointers of its ``kt_pool_spec`` point to, kept until the pool is freed.
        error: makes the exception for a positive errno value.
        wait_spin_ns: how long a waiter for a task spins before it sleeps.

    Attributes:
        handle: the ``kt_pool *``, valid as long as this object.
        refusal: makes the exception for whoever brings work; None while work is taken.
        broken: an initializer has failed.
    """

    def __init__(self, keep: object, error: Callable[[int], Exception], wait_spin_ns: int) -> None:
        self.error, self.wait_spin_ns = error, wait_spin_ns
        self.refusal: Callable[[], Exception] | None = None
        self.broken = False
        # Freed with the last that uses it: a prepared loop may run while another thread shuts the pool down.
        # By a function of C, which no exception of a signal handler keeps from its work, as it may a finalizer in Python.
        free = functools.partial(lib.kt_python_pool_free, ffi.new_handle(keep))
        self._place = ffi.gc(ffi.new("kt_pool **"), free)

    def start(self, cdata: Any) -> None:
        """Makes the pool and starts its threads.

        Args:
            cdata: the ``kt_pool_spec *``.

        Raises:
            what `error` makes: the threads could not be started; none is left behind.
        """
        if (code := lib.kt_pool_new(self._place, cdata)) < 0:
            raise self.error(-code)
        self.handle = self._place[0]

    def taking(self) -> Any:
        """The handle, if work is taken."""
        if self.refusal is not None:
            raise self.refusal()
        return self.handle

    def refused(self, code: int) -> Exception:
        """The exception for a positive errno value that work was refused with."""
        return self.error(code) if self.refusal is None else self.refusal()

    @property
    def workers(self) -> int:
        """How many take part in a loop, its caller included, and how many tasks run at once."""
        return int(lib.kt_pool_workers(self.handle))

    # ---- Tasks -------------------------------------------------------------------------------------------------------

    def native_task(
        self,
        function: NativeFunction,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        home: Collector | None = None,
    ) -> TaskFuture:
        """A call of a native function to be submitted.

        Args:
            home: where it comes back; None for the collector of concurrent.futures.

        Raises:
            TypeError, ValueError, OverflowError: an argument is not one for the function.
        """
        if kwargs:
            raise TypeError("a native function takes no keyword arguments")
        return TaskFuture(function, args, home or collector(), id(self), self.wait_spin_ns)

    def python_task(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> PythonTask:
        """A call of a Python callable to be submitted."""
        return PythonTask(fn, args, kwargs, id(self), self.wait_spin_ns)

    def submit(self, tasks: Sequence[Submitted], wait: bool = True) -> None:
        """Queues tasks. After an exception none of them will begin that has not begun.

        Args:
            wait: whether to wait where as many tasks wait as may, instead of raising queue.Full.
        """
        try:
            for task in tasks:
                task.enlist()
            self._queue(tasks, wait)
            if self.broken:  # since the queue was looked at: the tasks that waited then have failed
                self.taking()
        except BaseException:
            try:
                for_each(_take_back, tasks)
            except BaseException:
                for_each(_take_back, tasks)  # a signal handler has cut it short
                raise
            raise

    def _queue(self, tasks: Sequence[Submitted], wait: bool) -> None:
        waiting = [task.task for task in tasks]
        while waiting:
            # In slices: a shutdown, too, ends the wait for room.
            code = _submit(self.taking(), waiting, len(waiting), deadline.SLICE_NS if wait else 0)
            if code == -errno.EAGAIN and not wait:
                raise queue.Full("as many tasks as may wait do: the pool's queue_size")
            if code < 0 and code not in (-errno.EAGAIN, -errno.EINTR):
                raise self.refused(-code)
            if code > 0:
                del waiting[:code]
                tasks[0].expect_back()

    # ---- The end of tasks --------------------------------------------------------------------------------------------

    def tasks(self) -> list[Submitted]:
        """Those that have not come back."""
        return tasks_of(id(self))

    def close(self, refusal: Callable[[], Exception]) -> None:
        """Takes no more work, and raises this from now on."""
        if self.refusal is None:
            self.refusal = refusal

    def cancel_waiting(self) -> None:
        """Cancels the tasks that have not begun."""
        for_each(lambda task: task.cancel(), self.tasks())

    def break_off(self, refusal: Callable[[], Exception]) -> None:
        """An initializer has failed: no more work is taken, and the tasks that have not begun fail."""
        self.refusal, self.broken = refusal, True
        for_each(lambda task: task.fail(refusal()), self.tasks())


def _take_back(task: Submitted) -> None:
    if _state_of(task.task) == _NEW:
        task.withdraw()
    else:
        task.cancel()
