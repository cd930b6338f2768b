"""Counters of a pool and of its workers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["PoolStats", "WorkerStats"]


@dataclass(frozen=True)
class WorkerStats:
    """The counters of one worker. The first one of a pool is for all callers of loops, the last one runs only tasks."""

    regions: int  #: loops that it ran chunks of
    chunks: int  #: chunks that it ran
    steals: int  #: how often it took chunks from another worker's share
    tasks: int  #: tasks that it ran
    parks: int  #: how often it went to sleep
    spins: int  #: how often it found work while spinning
    cpu_time: float | None  #: seconds of CPU time of its thread; None for callers

    @classmethod
    def of(cls, numbers: Any) -> WorkerStats:
        """From a ``kt_worker_stats``."""
        cpu_time = None if numbers.cpu_ns < 0 else numbers.cpu_ns / 1e9
        return cls(
            numbers.regions, numbers.chunks, numbers.steals, numbers.tasks, numbers.parks, numbers.spins, cpu_time
        )


@dataclass(frozen=True)
class PoolStats:
    """The counters of a pool's workers, since the pool was made."""

    workers: tuple[WorkerStats, ...]

    @property
    def regions(self) -> int:
        """Loops that were run."""
        return self.workers[0].regions

    @property
    def chunks(self) -> int:
        """Chunks that were run."""
        return sum(worker.chunks for worker in self.workers)

    @property
    def steals(self) -> int:
        """How often a worker took chunks from another worker's share."""
        return sum(worker.steals for worker in self.workers)

    @property
    def tasks(self) -> int:
        """Tasks that were run."""
        return sum(worker.tasks for worker in self.workers)
