"""Times operations side by side: each round has a batch of each, in a random order; ratios are of batches of the same round."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def measure(
    operations: Mapping[str, Callable[[], object]], *, rounds: int = 100, batch: int = 50
) -> dict[str, list[float]]:
    """The time of an operation in each round, in seconds. Each batch begins with a tenth that is not timed: threads of the
    operation before may still spin."""
    times: dict[str, list[float]] = {name: [] for name in operations}
    order = list(operations)
    for number in range(-3, rounds):  # the first three warm up
        random.shuffle(order)
        for name in order:
            operation = operations[name]
            for _ in range(batch // 10):
                operation()
            begin = time.perf_counter()
            for _ in range(batch):
                operation()
            if number >= 0:
                times[name].append((time.perf_counter() - begin) / batch)
    return times


def ratio(times: Mapping[str, Sequence[float]], name: str, peer: str) -> float:
    """The median of the ratios of pairs."""
    return statistics.median(a / b for a, b in zip(times[name], times[peer], strict=True))
