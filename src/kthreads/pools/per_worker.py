"""Arguments of a parallel loop that differ from worker to worker."""

from __future__ import annotations

from typing import Any

__all__ = ["WORKER_INDEX", "PerWorker"]


class _WorkerIndex:
    """An argument that is, for each worker, its index in the loop: an integer from 0 to one less than its workers."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "kthreads.WORKER_INDEX"


WORKER_INDEX = _WorkerIndex()


class PerWorker:
    """Memory that has a part for each worker of a loop, such as a row of a two-dimensional array.

    It allows a sum without atomics: each worker adds to its own row, and the caller adds the rows after the loop. No two
    workers of one loop have the same row, and one worker runs one chunk at a time.

    Args:
        array: a C-contiguous buffer, such as a NumPy array, with at least as many rows (items of its first
            dimension) as the loop has workers. Rows of 128 bytes or more keep workers from slowing each other down by sharing
            cache lines.
    """

    __slots__ = ("array",)

    def __init__(self, array: Any) -> None:
        self.array = array
        self._view()

    def _view(self) -> memoryview:
        """The memory as it is now: the user may resize an array between two loops."""
        view = memoryview(self.array)
        if not view.shape or not view.c_contiguous:
            raise ValueError("PerWorker takes a C-contiguous buffer of one dimension or more")
        return view

    @property
    def rows(self) -> int:
        """The number of rows, and so the largest number of workers."""
        return len(self._view())

    @property
    def row_size(self) -> int:
        """Bytes of a row."""
        view = self._view()
        return view.nbytes // len(view) if len(view) else 0

    def __repr__(self) -> str:
        return f"PerWorker({self.rows} rows of {self.row_size} bytes)"
