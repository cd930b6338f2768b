"""What got better or worse between two runs, beyond the noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kthreads.bench.analysis.ratios import Interval, ratio_of_medians
from kthreads.bench.analysis.summary import RunSummary
from kthreads.bench.model.scenario import Scenario

LEAST_CHANGE = 0.05  # smaller ones come and go with the layout of a build

_COMPARED = ("kernel", "cpu", "affinity", "libc", "compiler", "python", "governor", "cpu quota", "settings", "quick")


@dataclass(frozen=True)
class Change:
    """The ratio new / old of one peer in one scenario."""

    scenario: Scenario
    peer: str
    ratio: Interval

    @property
    def verdict(self) -> str:
        """ "better" or "worse" when the interval excludes 1 and the change is 5 % or more, else "same"."""
        if self.ratio.spans_one or abs(self.ratio.value - 1) < LEAST_CHANGE:
            return "same"
        return "better" if self.ratio.value < 1 else "worse"


def changes(new: RunSummary, old: RunSummary) -> Iterator[Change]:
    """One for each peer and scenario that both runs measured."""
    floor = max(new.floor, old.floor)
    for scenario, peers in new.scenarios.items():
        before = old.scenarios.get(scenario, {})
        for peer, summary in peers.items():
            if peer in before:
                ratio = ratio_of_medians(summary.rounds, before[peer].rounds, floor=floor)
                if ratio is not None:
                    yield Change(scenario, peer, ratio)


def differences(new: RunSummary, old: RunSummary) -> list[str]:
    """What differs in the environments, and makes times hard to compare."""
    return [
        f"{what}: {old.environment.get(what)} before, {new.environment.get(what)} now"
        for what in _COMPARED
        if new.environment.get(what) != old.environment.get(what)
    ]
