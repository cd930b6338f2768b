"""Ratios of times, with their confidence intervals."""

from __future__ import annotations

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kthreads.bench.analysis.distribution import quantile

RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """An estimate and the bounds between which it lies with 95 % confidence."""

    value: float
    low: float
    high: float

    @property
    def spans_one(self) -> bool:
        """Whether a ratio may be 1: there is no winner."""
        return self.low <= 1 <= self.high

    def __str__(self) -> str:
        return f"{self.value:.3g} [{self.low:.3g}, {self.high:.3g}]"


Rounds = Mapping[int, Mapping[int, float]]
"""A value for each round of each process."""


def _resample(groups: Sequence[Sequence[float]], chance: random.Random) -> float:
    """The median of as many processes, drawn with replacement, of as many of its rounds each."""
    values: list[float] = []
    for _ in groups:
        group = chance.choice(groups)
        values.extend(chance.choices(group, k=len(group)))
    return statistics.median(values)


def _bounds(estimates: list[float]) -> tuple[float, float]:
    estimates.sort()
    tail = (1 - CONFIDENCE) / 2
    return quantile(estimates, tail), quantile(estimates, 1 - tail)


def paired_ratio(ours: Rounds, theirs: Rounds, *, floor: float = 1e-9, seed: int = 0) -> Interval | None:
    """The median of ours / theirs over pairs of the same round, with the interval of a bootstrap that draws processes and,
    within them, rounds; None without a pair.

    Args:
        floor: what cannot be told from zero counts as this much.
    """
    groups = [
        [max(ours[process][number], floor) / max(theirs[process][number], floor) for number in sorted(numbers)]
        for process in sorted(ours)
        if (numbers := set(ours[process]) & set(theirs.get(process, {})))
    ]
    if not groups:
        return None
    chance = random.Random(seed)
    low, high = _bounds([_resample(groups, chance) for _ in range(RESAMPLES)])
    return Interval(statistics.median(value for group in groups for value in group), low, high)


def ratio_of_medians(new: Rounds, old: Rounds, *, floor: float = 1e-9, seed: int = 0) -> Interval | None:
    """The median of new by that of old, which ran at another time, with the interval of a bootstrap of both."""
    groups = [[list(rounds.values()) for rounds in side.values() if rounds] for side in (new, old)]
    if not all(groups):
        return None
    chance = random.Random(seed)

    def ratio(a: float, b: float) -> float:
        return max(a, floor) / max(b, floor)

    low, high = _bounds([ratio(*(_resample(side, chance) for side in groups)) for _ in range(RESAMPLES)])
    middles = [statistics.median(value for group in side for value in group) for side in groups]
    return Interval(ratio(*middles), low, high)
