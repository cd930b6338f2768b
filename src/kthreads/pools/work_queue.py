"""What programs read of an executor's queue, by the names of the standard one."""

from __future__ import annotations

from kthreads._native import lib
from kthreads.pools.handle import PoolHandle

__all__ = ["WorkQueue"]


class WorkQueue:
    """The tasks that have not begun. It can be read only: `Executor.submit` and `shutdown` change it.

    Args:
        handle: of the pool that has the queue.
    """

    def __init__(self, handle: PoolHandle) -> None:
        self._handle = handle

    def qsize(self) -> int:
        """How many tasks wait. It looks at all tasks that have not ended."""
        return sum(lib.kt_task_state_of(task.task) == lib.KT_TASK_QUEUED for task in self._handle.tasks())

    def empty(self) -> bool:
        """Whether no task waits."""
        return self.qsize() == 0
