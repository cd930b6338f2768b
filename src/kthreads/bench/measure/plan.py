"""A plan: what a run is to measure, as jobs for fresh processes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kthreads.bench.measure.job import Job
from kthreads.bench.model.suites import SUITES, SYSCALLS

PROCESSES = 4
FULL_SECONDS = 600.0  # of one process: more than any needs
QUICK_PROCESSES = 2
QUICK_DIVISOR = 5


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Attributes:
        suites: names, in order.
        peers: only these; all when None.
        quick: whether a rough result within 20 s is wanted.
    """

    suites: Sequence[str]
    peers: Sequence[str] | None = None
    quick: bool = False

    @property
    def timed(self) -> list[str]:
        """The suites that processes measure: all but the counts of system calls."""
        return [name for name in self.suites if name != SYSCALLS]

    def wants(self, peer: str) -> bool:
        """Whether a suite of the plan measures this peer."""
        used = {peer for name in self.timed for peer in SUITES[name].peers}
        return peer in used and (self.peers is None or peer in self.peers)

    def jobs(self, shims: list[str]) -> Iterator[Job]:
        """One for each fresh process. A quick run puts all suites into one process."""
        chance = random.Random()
        parts = [self.timed] if self.quick else [[name] for name in self.timed]
        for process in range(QUICK_PROCESSES if self.quick else PROCESSES):
            for part in parts:
                for pinned in (False, True):
                    if not part or (pinned and not any(SUITES[name].pins for name in part)):
                        continue
                    yield Job(
                        part,
                        None if self.peers is None else list(self.peers),
                        process,
                        pinned,
                        shims,
                        QUICK_DIVISOR if self.quick else 1,
                        FULL_SECONDS,
                        chance.randrange(1 << 32),
                    )
