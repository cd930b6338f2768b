"""What a pool's workers did, in numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = ["PoolStats", "WorkerStats"]


@dataclass(frozen=True)
class WorkerStats:
    """What one worker did. The first of a pool stands for all callers of its loops, the last does tasks alone."""

    regions: int  #: loops that it took part in
    chunks: int  #: chunks that it ran
    steals: int  #: times that it took chunks from another's share
    tasks: int  #: tasks that it ran
    parks: int  #: times that it went to sleep
    spins: int  #: times that work came while it spun
    cpu_time: float | None  #: seconds of CPU time of its thread; None where it has none of its own

    @classmethod
    def of(cls, numbers: Any) -> WorkerStats:
        """From a ``kt_worker_stats``."""
        cpu_time = None if numbers.cpu_ns < 0 else numbers.cpu_ns / 1e9
        return cls(
            numbers.regions, numbers.chunks, numbers.steals, numbers.tasks, numbers.parks, numbers.spins, cpu_time
        )


@dataclass(frozen=True)
class PoolStats:
    """What the workers of a pool did since it was made."""

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
        """Times that one worker took chunks from another's share."""
        return sum(worker.steals for worker in self.workers)

    @property
    def tasks(self) -> int:
        """Tasks that were run."""
        return sum(worker.tasks for worker in self.workers)
