"""The threads of an executor: they start as tasks need them, and serve one queue of tasks for as long as it exists.

They are `Thread` objects that serve a pool of the engine. Native and Python tasks wait in its one queue, in their order. A
thread keeps its Python state: a task finds in threading.local() what the previous task on that thread has left there.

Signal handlers and finalizers may submit and close at any point. So there is no lock: collections change by single atomic
steps, a task is queued before the threads are counted, and a task that was queued as the pool was closed is taken back.
"""

from __future__ import annotations

import functools
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import _base as base
from concurrent.futures.thread import BrokenThreadPool
from typing import Any

from kthreads import lifecycle, limits
from kthreads._native import ffi, lib
from kthreads.errors import KThreadsError
from kthreads.iteration import carry_through, for_each, snapshot
from kthreads.pools.completions import drain_shared
from kthreads.pools.handle import PoolHandle
from kthreads.pools.settings import SPIN_NS, WAIT_SPIN_NS
from kthreads.pools.tasks import Task
from kthreads.threads.known_to_threading import here
from kthreads.threads.thread import Thread
from kthreads.weak_objects import WeakObjects

__all__ = ["BROKEN", "ExecutorThread", "ExecutorThreads", "finish_at_exit", "reset_after_fork"]

_MOMENT = 0.0005  # seconds: longer than the start of a thread takes
_QUEUE_SIZE = 1024  # tasks beyond these wait in a list that a mutex guards

_unfinished = lib.kt_pool_unfinished
BROKEN = "A thread initializer failed, the thread pool is not usable anymore"


@functools.cache
def _cpus() -> int:
    """Counted once, to decide whether threads spin: to read the quota takes longer than to make an executor."""
    return limits.cpu_count()


_all: WeakObjects[ExecutorThreads] = WeakObjects()
_interpreter_is_ending = False


class ExecutorThreads:
    """The threads, and the pool that they serve. They keep this object alive, and end when it is closed and all tasks are
    done.

    Args:
        most: the largest number of threads.
        name: what the names of the threads begin with.
        initializer: what each thread calls as it begins. If it fails, the executor is broken.

    Attributes:
        handle: the pool that the threads serve.
        threads: the started threads, by their numbers.
    """

    def __init__(self, most: int, name: str, initializer: Callable[[], Any] | None) -> None:
        self.threads: dict[int, ExecutorThread] = {}
        self._name, self._initializer = name, initializer
        self._most = most
        self.handle = PoolHandle(None, _error, WAIT_SPIN_NS if _cpus() > 1 else 0)
        if _interpreter_is_ending:
            self.handle.close(_after_exit)
        spec = ffi.new("kt_pool_spec *")
        spec.workers, spec.cpus, spec.spin_ns, spec.queue_size = self._most, _cpus(), SPIN_NS, _QUEUE_SIZE
        spec.options = lib.KT_POOL_LENT | lib.KT_POOL_UNBOUNDED
        self.handle.start(spec)
        _all.add(self)

    def submit(self, task: Task) -> None:
        """Queues a task that was made by this object's `handle`.

        Raises:
            RuntimeError: the executor is shut down; or BrokenThreadPool, which is a RuntimeError, too.
            ThreadLimitError, ThreadMemoryError: there is no thread, and none could be started.
        """
        handle = self.handle
        try:
            handle.submit([task])
            # It is queued first, so that of two callers one sees both tasks.
            if len(self.threads) < self._most and _unfinished(handle.cdata) > len(self.threads):
                self._start_another()
            # The pool may have been closed in between, and the threads may have ended.
            if handle.closed_error is not None and task.cancel():
                handle.open_cdata()
        except BaseException:
            carry_through(task.cancel)
            raise

    def _start_another(self) -> None:
        """Starts one more thread. No two threads get one number, whoever else starts one."""
        for number in range(1, self._most + 1):
            if number not in self.threads:
                thread = ExecutorThread(self, number, f"{self._name}_{number - 1}")
                if self._start(thread, number):
                    return

    def _start(self, thread: ExecutorThread, number: int) -> bool:
        """Returns False when the number is taken."""
        try:
            if self.threads.setdefault(number, thread) is not thread:
                return False
            thread.start()
        except BaseException as error:
            if self.threads.get(number) is thread and not thread.is_alive():
                del self.threads[number]
            if self.threads and isinstance(error, KThreadsError):
                return True  # the threads that there are do the task
            raise
        return True

    def idle(self) -> int:
        """How many threads have no task."""
        return max(0, len(self.threads) - int(_unfinished(self.handle.cdata)))

    def serve(self, number: int) -> None:
        """Runs tasks on the calling thread until the pool is closed and its queue is empty."""
        if self._initializer is not None:
            try:
                self._initializer()
            except BaseException:
                base.LOGGER.critical("Exception in initializer:", exc_info=True)
                self._mark_broken()
        lib.kt_pool_serve(self.handle.cdata, number)

    def close(self, closed_error: Callable[[], Exception] | None = None) -> None:
        """Takes no more tasks. The threads end when the tasks in the queue are done."""
        self.handle.close(closed_error or _after_shutdown)
        lib.kt_pool_close(self.handle.cdata)

    def join(self) -> None:
        """Waits, after `close`, until the threads have ended and all callbacks have been called. A signal handler that has
        interrupted the start of a thread does not wait for that one, which starts when the handler has returned."""
        joined: set[ExecutorThread] = set()
        while threads := set(snapshot(self.threads.values())) - joined:  # a submitter may still start one
            for thread in threads:
                self._join(thread)
            joined |= threads
        if joined:
            drain_shared()

    def _join(self, thread: ExecutorThread) -> None:
        while not thread.kt_was_started() and self._starts_elsewhere(thread):
            time.sleep(_MOMENT)
        if thread.kt_was_started():
            thread.join()

    def _starts_elsewhere(self, thread: ExecutorThread) -> bool:
        """Whether another thread is about to start this one. It removes the entry if it cannot."""
        return thread.starter != threading.get_ident() and thread in snapshot(self.threads.values())

    def _mark_broken(self) -> None:
        """Takes no more tasks. The tasks that have not begun fail."""
        self.handle.mark_broken(_broken)
        lib.kt_pool_break(self.handle.cdata)
        lib.kt_pool_close(self.handle.cdata)

    def reset_after_fork(self) -> None:
        """In a forked child: removes the threads, which are the parent's."""
        self.threads = {}


class ExecutorThread(Thread):
    """One thread of an executor.

    Attributes:
        starter: the ident of the thread that starts this one.
    """

    def __init__(self, group: ExecutorThreads, number: int, name: str) -> None:
        super().__init__(name=name, daemon=False)
        self._group: ExecutorThreads | None = group
        self._worker_number = number
        self.starter = threading.get_ident()

    def run(self) -> None:
        here.is_attached = True
        group, self._group = self._group, None
        assert group is not None
        group.serve(self._worker_number)


def _after_shutdown() -> Exception:
    return RuntimeError("cannot schedule new futures after shutdown")


def _after_exit() -> Exception:
    return RuntimeError("cannot schedule new futures after interpreter shutdown")


def _broken() -> Exception:
    return BrokenThreadPool(BROKEN)


def _error(code: int) -> Exception:
    return OSError(code, f"making a queue of tasks: {os.strerror(code)}")


@lifecycle.as_the_interpreter_begins_to_end.add
def finish_at_exit() -> None:
    """As the interpreter begins to end: closes all executors and waits for their tasks, as the standard executor does."""
    global _interpreter_is_ending
    _interpreter_is_ending = True
    executors = _all.alive()
    for_each(lambda each: each.close(_after_exit), executors)
    for_each(ExecutorThreads.join, executors)


@lifecycle.in_a_forked_child.add
def reset_after_fork() -> None:
    """In a forked child: removes the threads of all executors, which are the parent's."""
    for_each(ExecutorThreads.reset_after_fork, _all.alive())
