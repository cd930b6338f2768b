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

from kthreads import limits
from kthreads._native import ffi, lib
from kthreads.errors import KThreadsError
from kthreads.iteration import for_each, snapshot
from kthreads.pools.completions import collector
from kthreads.pools.futures import Submitted
from kthreads.pools.handle import Engine
from kthreads.pools.settings import SPIN_NS, WAIT_SPIN_NS
from kthreads.threads.thread import Thread

__all__ = ["BROKEN", "Crew", "Worker", "end_all", "forget_all"]

_QUEUE_SIZE = 1024  # what waits beyond it costs a mutex

_unfinished = lib.kt_pool_unfinished
BROKEN = "A thread initializer failed, the thread pool is not usable anymore"


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
        engine: the pool that they serve.
        threads: those that were started, by their numbers.
    """

    def __init__(self, most: int, name: str, prepare: Callable[[], Any] | None) -> None:
        self.threads: dict[int, Worker] = {}
        self._name, self._prepare = name, prepare
        # Reentrant: signal handlers may submit, and the garbage collector may close, at any point.
        self._lock = threading.RLock()
        self._most = min(most, lib.KT_POOL_WORKERS_MAX)
        self.engine = Engine(None, _error, WAIT_SPIN_NS if _cpus() > 1 else 0)
        if _ending:
            self.engine.close(_after_exit)
        spec = ffi.new("kt_pool_spec *")
        spec.workers, spec.cpus, spec.spin_ns, spec.queue_size = self._most, _cpus(), SPIN_NS, _QUEUE_SIZE
        spec.options = lib.KT_POOL_LENT | lib.KT_POOL_UNBOUNDED
        self.engine.start(spec)
        _crews.add(self)

    # ---- Tasks -------------------------------------------------------------------------------------------------------

    def submit(self, task: Submitted) -> None:
        """Queues a task of this crew's engine.

        Raises:
            RuntimeError: no tasks are taken any more; BrokenThreadPool is one, too.
            ThreadLimitError, ThreadMemoryError: there is no thread, and none could be started.
        """
        engine = self.engine
        with self._lock:
            engine.taking()
            if len(self.threads) < self._most and _unfinished(engine.handle) >= len(self.threads):
                self._start_another()
            engine.submit([task])
            # A signal handler may have closed it since, and the threads may be gone.
            if engine.refusal is not None and task.cancel():
                engine.taking()

    def _start_another(self) -> None:
        """Whatever a signal handler or finalizer does here meanwhile, no two threads get one number."""
        for number in range(1, self._most + 1):
            if number not in self.threads:
                worker = Worker(self, number, f"{self._name}_{number - 1}")
                if self._start(worker, number):
                    return

    def _start(self, worker: Worker, number: int) -> bool:
        """Returns False when the number is taken."""
        try:
            if self.threads.setdefault(number, worker) is not worker:
                return False
            worker.start()
        except BaseException as error:
            if self.threads.get(number) is worker and not worker.is_alive():
                del self.threads[number]
            if self.threads and isinstance(error, KThreadsError):
                return True  # there are others
            raise
        worker.up.wait()  # as threading.Thread.start does, so that a task begins though the submitter is busy
        return True

    def serve(self, number: int) -> None:
        """Does tasks on a thread, from its beginning to its end."""
        if self._prepare is not None:
            try:
                self._prepare()
            except BaseException:
                base.LOGGER.critical("Exception in initializer:", exc_info=True)
                self._break()
        lib.kt_pool_serve(self.engine.handle, number)

    # ---- The end ---------------------------------------------------------------------------------------------------------

    def close(self, refusal: Callable[[], Exception] | None = None) -> None:
        """Takes no more tasks; the threads end when those that there are have been done."""
        with self._lock:
            self.engine.close(refusal or _after_shutdown)
            lib.kt_pool_close(self.engine.handle)

    def join(self) -> None:
        """Waits until the threads have ended, once it is closed, and all callbacks have been called."""
        for worker in snapshot(self.threads.values()):
            worker.join()
        if self.threads:
            collector().collect()

    def _break(self) -> None:
        """Takes no more tasks, and fails those that have not begun."""
        with self._lock:
            self.engine.break_off(_broken)
            lib.kt_pool_break(self.engine.handle)
            lib.kt_pool_close(self.engine.handle)

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


# ---- Why no task is taken ----------------------------------------------------------------------------------------------


def _after_shutdown() -> Exception:
    return RuntimeError("cannot schedule new futures after shutdown")


def _after_exit() -> Exception:
    return RuntimeError("cannot schedule new futures after interpreter shutdown")


def _broken() -> Exception:
    return BrokenThreadPool(BROKEN)


def _error(code: int) -> Exception:
    return OSError(code, f"making a queue of tasks: {os.strerror(code)}")


# ---- Exit and fork -----------------------------------------------------------------------------------------------------


def end_all() -> None:
    """As the interpreter begins to end: what was submitted is done first, as by the standard executor."""
    global _ending
    _ending = True
    crews = snapshot(_crews)
    for_each(lambda crew: crew.close(_after_exit), crews)
    for_each(Crew.join, crews)


def forget_all() -> None:
    """In a forked child, where none of the threads are."""
    for_each(Crew.forget, list(_crews))
