"""What every task of a pool has in common, whether its function is native or Python."""

from __future__ import annotations

from typing import Any, Protocol

from kthreads.pools.completions import native_tasks_of
from kthreads.pools.python_task import python_tasks_of

__all__ = ["Task", "tasks_of"]


class Task(Protocol):
    """What a pool submits: one call, or a unit of several.

    Attributes:
        task: the ``kt_task *``.
    """

    @property
    def task(self) -> Any: ...

    def queue_at_once(self, pool: int) -> bool:
        """Registers and queues the task in one step. Returns False, and has done nothing, where that cannot be.

        Args:
            pool: the address of the ``kt_pool``.
        """

    def register(self) -> None:
        """Keeps the memory of the task alive until it completes, or until `unregister`."""

    def unregister(self) -> None:
        """Undoes `register`, for a task that was never queued."""

    def ensure_drained(self) -> None:
        """Makes sure, once the task is queued, that its completion will be noticed."""

    def cancel(self) -> bool:
        """Cancels the task if it has not begun. Returns whether it will not run."""

    def fail(self, error: BaseException) -> None:
        """Cancels the task if it has not begun; its result is then this exception."""


def tasks_of(owner: int) -> list[Any]:
    """The tasks of one pool that have not completed.

    Args:
        owner: the number that the tasks of the pool have in common.
    """
    return [*native_tasks_of(owner), *python_tasks_of(owner)]
