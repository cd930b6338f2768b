"""The distribution of samples: quantiles and a histogram."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


def quantile(ordered: Sequence[float], q: float) -> float:
    """The q-quantile of ordered values, between the two nearest where it falls between them (method 7 of Hyndman and Fan).

    Raises:
        ValueError: there is no value.
    """
    if not ordered:
        raise ValueError("no samples, no quantile")
    at = (len(ordered) - 1) * q
    low = math.floor(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


@dataclass(frozen=True)
class Quantiles:
    """The quantiles that tables show, in the samples' unit."""

    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    max: float

    @classmethod
    def of(cls, samples: Sequence[float]) -> Quantiles:
        """Those of one sample or more, to a tenth of the unit."""
        ordered = sorted(samples)
        p50, p90, p99, p999 = (round(quantile(ordered, q), 1) for q in (0.5, 0.9, 0.99, 0.999))
        return cls(len(ordered), p50, p90, p99, p999, ordered[-1])


def histogram(samples: Sequence[float], bins: int) -> list[int]:
    """How many samples are in each bin. Bins are equally wide on a logarithmic scale from the 1st to the 99th percentile;
    samples beyond these are counted in the first and the last."""
    ordered = sorted(samples)
    low = max(1.0, quantile(ordered, 0.01))
    width = math.log(max(quantile(ordered, 0.99) / low, 1.01)) / bins
    counts = [0] * bins
    for sample in samples:
        counts[min(bins - 1, max(0, math.floor(math.log(max(sample, 1.0) / low) / width)))] += 1
    return counts
