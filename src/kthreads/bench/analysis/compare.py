"""What got better or worse between two runs, beyond the noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kthreads.bench.analysis.results import Place, Run
from kthreads.bench.analysis.stats import Interval, ratio_of_medians

LEAST = 0.05  # a change that matters: a smaller one comes and goes with a build's layout

_SAME = ("kernel", "cpu", "affinity", "libc", "compiler", "python", "governor", "cpu quota", "settings", "quick")


@dataclass(frozen=True)
class Change:
    """new / old of one peer at one place."""

    place: Place
    peer: str
    ratio: Interval

    @property
    def verdict(self) -> str:
        """ "better" or "worse" when the interval excludes 1 and the change is 5 % or more, else "same"."""
        if self.ratio.spans_one or abs(self.ratio.value - 1) < LEAST:
            return "same"
        return "better" if self.ratio.value < 1 else "worse"


def changes(new: Run, old: Run) -> Iterator[Change]:
    """One for each peer and place that both runs measured."""
    before = old.places
    floor = max(new.floor, old.floor)
    for place, rows in new.places.items():
        for peer, row in rows.items():
            if peer in before.get(place, {}):
                ratio = ratio_of_medians(row.rounds, before[place][peer].rounds, floor=floor)
                if ratio is not None:
                    yield Change(place, peer, ratio)


def differences(new: Run, old: Run) -> list[str]:
    """What differs in the environments, and makes times hard to compare."""
    return [
        f"{what}: {old.environment.get(what)} before, {new.environment.get(what)} now"
        for what in _SAME
        if new.environment.get(what) != old.environment.get(what)
    ]
