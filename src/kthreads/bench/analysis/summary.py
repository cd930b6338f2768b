"""What is known of a run without its samples: the quantiles of each peer, and the medians that ratios are made of."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from kthreads.bench.analysis.distribution import Quantiles, histogram, quantile
from kthreads.bench.analysis.ratios import Interval, Rounds, paired_ratio
from kthreads.bench.model.run import Block, Run
from kthreads.bench.model.scenario import Scenario
from kthreads.bench.model.suites import SUITES

CURVE_POINTS = 31
CURVE_END = 0.98  # beyond it single samples would set the scale of a plot
BINS = 12


def curve_parts() -> list[float]:
    """The parts of the samples that the points of a curve are quantiles for, from 0 to CURVE_END."""
    return [CURVE_END * number / (CURVE_POINTS - 1) for number in range(CURVE_POINTS)]


@dataclass(frozen=True)
class PeerSummary:
    """One peer in one scenario.

    Attributes:
        quantiles: of the samples of all processes, in ns.
        processes: the quantiles of each process.
        curve: the quantiles at `curve_parts`, in ns.
        histogram: of `BINS` bins, for the terminal.
        rounds: the median of each round of each process, in ns.
        cpu_per_wall: CPU seconds of all threads per wall second.
        faults: page faults a sample.
        switches: voluntary context switches a sample.
        threads: how many threads ran the functions, on average; 0 where the suite does not ask.
        more: the medians of what only some suites measure.
    """

    quantiles: Quantiles
    processes: dict[int, Quantiles]
    curve: tuple[int, ...]
    histogram: tuple[int, ...]
    rounds: Rounds
    cpu_per_wall: float
    faults: float
    switches: float
    threads: float
    more: dict[str, float]

    @classmethod
    def of(cls, blocks: Sequence[Block]) -> PeerSummary:
        """That of one block or more, none of which is empty. Figures are rounded to less than the noise."""
        samples = sorted(sample for block in blocks for sample in block.samples)
        by_process: dict[int, list[int]] = defaultdict(list)
        rounds: dict[int, dict[int, float]] = defaultdict(dict)
        for block in blocks:
            by_process[block.process] += block.samples
            rounds[block.process][block.round] = float(statistics.median(block.samples))
        cpu_ns, wall_ns = sum(block.cpu_ns for block in blocks), sum(block.wall_ns for block in blocks)
        kinds = dict.fromkeys(kind for block in blocks for kind in block.more)
        return cls(
            quantiles=Quantiles.of(samples),
            processes={process: Quantiles.of(by_process[process]) for process in by_process},
            curve=tuple(round(quantile(samples, part)) for part in curve_parts()),
            histogram=tuple(histogram(samples, BINS)),
            rounds=dict(rounds),
            cpu_per_wall=round(cpu_ns / max(1, wall_ns), 6),
            faults=round(sum(block.faults for block in blocks) / len(samples), 6),
            switches=round(sum(block.switches for block in blocks) / len(samples), 6),
            threads=round(statistics.fmean(block.seen for block in blocks), 6),
            more={
                kind: round(statistics.median(block.more[kind] for block in blocks if kind in block.more), 1)
                for kind in kinds
            },
        )


Peers = dict[str, PeerSummary]


@dataclass
class RunSummary:
    """A run without its samples.

    Attributes:
        environment, missing, notes, syscalls: as in `Run`.
        scenarios: the peers of each scenario, in the order that they were measured in.
    """

    environment: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    syscalls: dict[str, dict[str, float]] = field(default_factory=dict)
    scenarios: dict[Scenario, Peers] = field(default_factory=dict)

    @classmethod
    def of(cls, run: Run) -> RunSummary:
        """That of what a run has measured so far."""
        blocks: dict[Scenario, dict[str, list[Block]]] = defaultdict(lambda: defaultdict(list))
        for block in run.blocks:
            if block.samples:
                blocks[block.scenario][block.peer].append(block)
        scenarios = {
            scenario: {peer: PeerSummary.of(found) for peer, found in peers.items()}
            for scenario, peers in blocks.items()
        }
        return cls(run.environment, run.missing, run.notes, run.syscalls, scenarios)

    @property
    def floor(self) -> float:
        """ns below which times cannot be told apart: the clock's own overhead."""
        return float(self.environment.get("clock overhead ns", 1))

    @property
    def syscall_names(self) -> list[str]:
        """The names of all system calls that were counted, in the order that they were first seen in."""
        return list(dict.fromkeys(name for counts in self.syscalls.values() for name in counts))

    @cached_property
    def _ratios(self) -> dict[tuple[Scenario, str, str], Interval | None]:
        return {}

    def ratio(self, scenario: Scenario, ours: str, peer: str) -> Interval | None:
        """ours / peer, of what ran in the same rounds; None when there is no such pair, or both are the same."""
        peers, key = self.scenarios[scenario], (scenario, ours, peer)
        if key not in self._ratios:
            both = ours != peer and ours in peers and peer in peers
            self._ratios[key] = paired_ratio(peers[ours].rounds, peers[peer].rounds, floor=self.floor) if both else None
        return self._ratios[key]

    def in_order(self) -> Iterable[tuple[Scenario, Peers]]:
        """The scenarios in the order of suites, and the peers of each in the order that its suite names them."""
        order = {suite: number for number, suite in enumerate(SUITES)}
        for scenario in sorted(self.scenarios, key=lambda each: (order[each.suite], each.value, each.pinned)):
            yield scenario, peers_in_order(scenario, self.scenarios[scenario])


def peers_in_order(scenario: Scenario, peers: Peers) -> Peers:
    """The peers in the order that the scenario's suite names them."""
    return {peer: peers[peer] for peer in SUITES[scenario.suite].peers if peer in peers}
