"""A job: what one fresh process is to measure. It travels to that process as JSON."""

from __future__ import annotations

from dataclasses import dataclass

from kthreads.bench.model.suites import Case, Suite


@dataclass(frozen=True)
class Job:
    """What one process measures.

    Attributes:
        suites: the names of suites, in order.
        peers: only these; all when None.
        process: the number of the process within the run.
        pinned: whether each case is kept to as few CPUs as it needs.
        shims: the paths of the libraries of the peers in C++.
        divisor: divides the numbers of samples and rounds; more than 1 for quick runs.
        seconds: after which no further block is begun.
        seed: of the order in which peers take turns.
    """

    suites: list[str]
    peers: list[str] | None
    process: int
    pinned: bool
    shims: list[str]
    divisor: int
    seconds: float
    seed: int

    def wants(self, peer: str) -> bool:
        """Whether the job measures this peer where a suite has it."""
        return self.peers is None or peer in self.peers

    def rounds_of(self, suite: Suite) -> int:
        """How many rounds the process measures."""
        return max(2, suite.rounds // self.divisor)

    def cases_of(self, suite: Suite, cpus: int) -> list[Case]:
        """The cases that the process measures."""
        return [case for case in suite.cases(cpus) if self.divisor == 1 or case.quick]
