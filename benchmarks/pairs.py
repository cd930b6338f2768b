"""Operations timed side by side: rounds of batches in a random order, and ratios of what ran in the same round."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Mapping, Sequence


def measure(
    operations: Mapping[str, Callable[[], object]], *, rounds: int = 100, batch: int = 50
) -> dict[str, list[float]]:
    """Seconds an operation, for each round. The first tenth of a batch is not counted: threads of the operation before
    may still spin."""
    times: dict[str, list[float]] = {name: [] for name in operations}
    order = list(operations)
    for number in range(-3, rounds):  # three to warm up
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
