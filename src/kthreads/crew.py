"""Kernel threads that are started as tasks need them and serve one queue of tasks for as long as it lasts.

They are `Thread` objects that lend themselves to an engine's pool: native and Python tasks wait in its one queue, in their
order, and a thread keeps its Python state: what a task leaves in threading.local() the next one on that thread finds.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import _base as base
from concurrent.futures.thread import BrokenThreadPool
from typing import Any

from kthreads import interop, limits
from kthreads._native import ffi, lib
from kthreads.collector import collector
from kthreads.errors import KThreadsError, check
from kthreads.poolspec import SPIN_NS, WAIT_SPIN_NS
from kthreads.task import PythonTask, TaskFuture, tasks_of
from kthreads.thread import Thread

__all__ = ["Crew", "Worker"]

_QUEUE_SIZE = 1024  # what waits beyond it costs a mutex

_submit, _unfinished = lib.kt_pool_submit, lib.kt_pool_unfinished


@functools.cache
def _cpus() -> int:
    """Counted once, to decide who may spin: reading the quota takes longer than making a crew."""
    return limits.cpu_count()


_crews: weakref.WeakSet[Crew] = weakref.WeakSet()
_ending = False


class Crew:
    """The threads and what they have in common. They keep it alive, and end when it is closed and all tasks are done.

    Args:
        most: how many threads there may be.
        name: what theirs begin with.
        prepare: what each calls as it begins; when that fails the crew is broken.

    Attributes:
        threads: those that were started.
        refusal: makes the exception for who submits; None while tasks are taken.
        broken: why `prepare` failed, as text; empty if it did not.
        wait_spin_ns: how long who waits for a task may spin.
    """

    def __init__(self, most: int, name: str, prepare: Callable[[], Any] | None) -> None:
        self.threads: set[Worker] = set()
        self.refusal: Callable[[], Exception] | None = _after_exit if _ending else None
        self.broken = ""
        self.wait_spin_ns = WAIT_SPIN_NS if _cpus() > 1 else 0
        self._name, self._prepare = name, prepare
        # Reentrant: signal handlers may submit, and the garbage collector may close, at any point.
        self._lock = threading.RLock()
        spec, place = ffi.new("kt_pool_spec *"), ffi.new("kt_pool **")
        self._most = spec.workers = min(most, lib.KT_POOL_WORKERS_MAX)
        spec.cpus, spec.spin_ns, spec.queue_size = _cpus(), SPIN_NS, _QUEUE_SIZE
        spec.options = lib.KT_POOL_LENT | lib.KT_POOL_UNBOUNDED
        check(lib.kt_pool_new(place, spec), "making a queue of tasks")
        self._handle = ffi.gc(place[0], lib.kt_python_pool_free)
        _crews.add(self)

    # ---- Tasks -------------------------------------------------------------------------------------------------------

    def submit(self, task: TaskFuture | PythonTask) -> None:
        """Queues a task whose owner is the id of this crew.

        Raises:
            RuntimeError: no tasks are taken any more; BrokenThreadPool is one, too.
            ThreadLimitError, ThreadMemoryError: there is no thread, and none could be started.
        """
        with self._lock:
            try:
                if self.refusal is not None:
                    raise self.refusal()
                if len(self.threads) < self._most and _unfinished(self._handle) >= len(self.threads):
                    self._start_another()
            except BaseException:
                task.withdraw()
                raise
            _submit(self._handle, [task.task], 1, 0)

    def _start_another(self) -> None:
        number = len(self.threads)
        worker = Worker(self, number + 1, f"{self._name}_{number}")
        self.threads.add(worker)
        try:
            worker.start()
        except KThreadsError:
            self.threads.discard(worker)
            if not self.threads:
                raise
        else:
            worker.up.wait()  # as threading.Thread.start does, so that a task begins though the submitter is busy

    def serve(self, number: int) -> None:
        """Does tasks on a thread, from its beginning to its end."""
        if self._prepare is not None:
            try:
                self._prepare()
            except BaseException:
                base.LOGGER.critical("Exception in initializer:", exc_info=True)
                self._break()
        lib.kt_pool_serve(self._handle, number)

    # ---- The end ---------------------------------------------------------------------------------------------------------

    def close(self, refusal: Callable[[], Exception] | None = None) -> None:
        """Takes no more tasks; the threads end when those that there are have been done."""
        with self._lock:
            if self.refusal is None:
                self.refusal = refusal or _after_shutdown
                lib.kt_pool_close(self._handle)

    def join(self) -> None:
        """Waits until the threads have ended, once it is closed, and all callbacks have been called."""
        for worker in self.threads:
            worker.join()
        if self.threads:
            collector().collect()

    def cancel_waiting(self) -> None:
        """Cancels the tasks that have not begun."""
        for task in tasks_of(id(self)):
            task.cancel()

    def _break(self) -> None:
        """Takes no more tasks, and fails those that have not begun."""
        self.broken = "A thread initializer failed, the thread pool is not usable anymore"
        with self._lock:
            self.refusal = self._broken_error
            lib.kt_pool_close(self._handle)
        for task in tasks_of(id(self)):
            task.fail(self._broken_error())

    def _broken_error(self) -> Exception:
        return BrokenThreadPool(self.broken)

    def forget(self) -> None:
        """In a forked child: the threads are the parent's."""
        self._lock = threading.RLock()
        self.threads.clear()


class Worker(Thread):
    """A thread of a crew, in which its number is one from 1.

    Attributes:
        up: it runs.
    """

    def __init__(self, crew: Crew, number: int, name: str) -> None:
        super().__init__(name=name, daemon=False)
        self._crew: Crew | None = crew
        self._place_in_crew, self.up = number, threading.Event()

    def run(self) -> None:
        self.up.set()
        crew, self._crew = self._crew, None
        assert crew is not None
        crew.serve(self._place_in_crew)


# ---- Exit and fork -----------------------------------------------------------------------------------------------------


def _after_shutdown() -> Exception:
    return RuntimeError("cannot schedule new futures after shutdown")


def _after_exit() -> Exception:
    return RuntimeError("cannot schedule new futures after interpreter shutdown")


def _end_all() -> None:
    """As the interpreter begins to end: what was submitted is done first, as by the standard executor."""
    global _ending
    _ending = True
    crews = list(_crews)
    for crew in crews:
        crew.close(_after_exit)
    for crew in crews:
        crew.join()


def _forget_all() -> None:
    for crew in list(_crews):
        crew.forget()


interop.at_shutdown(_end_all)
os.register_at_fork(after_in_child=_forget_all)
