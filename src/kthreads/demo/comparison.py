"""One job done in several ways, which are timed side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, TypeVar

__all__ = ["Comparison", "Missing", "Way", "count_of", "map_in_groups"]

T = TypeVar("T")
R = TypeVar("R")

GROUPS = 8  # of small items for each thread: enough tasks to balance the load, and no more

MOST_ROUNDS, LEAST_ROUNDS = 25, 3
SECONDS = 2.0  # after which no round begins, but for the least


class Missing(Exception):
    """A job, or a way to do it, cannot be shown here. The text says why."""


def count_of(count: int, noun: str) -> str:
    """A number of things in words."""
    return f"{count:,} {noun}{'s' * (count != 1)}"


def map_in_groups(executor: Executor, threads: int, function: Callable[[T], R], items: Sequence[T]) -> list[R]:
    """What ``executor.map`` returns. Each task calls the function for many items, which is faster where they are small."""

    def map_group(group: Sequence[T]) -> list[R]:
        return [function(item) for item in group]

    results: list[Any] = [None] * len(items)
    groups = min(GROUPS * threads, len(items))
    for number, found in enumerate(executor.map(map_group, [items[number::groups] for number in range(groups)])):
        results[number::groups] = found
    return results


@dataclass
class Way:
    """One way to do a job.

    Attributes:
        run: does the job, and returns the outcome.
        seconds: of the fastest run.
    """

    name: str
    run: Callable[[], Any]
    seconds: float = float("inf")


@dataclass
class Comparison:
    """A job and the ways to do it. Others are compared with the first.

    Attributes:
        title: the job in words.
        size: bytes of data.
        is_right: whether an outcome is the reference's.
        reference: where the reference comes from.
        wrong: the names of the ways that had a wrong outcome.
    """

    title: str
    size: int
    ways: list[Way]
    is_right: Callable[[Any], bool]
    reference: str
    wrong: tuple[str, ...] = ()

    def measure(self) -> None:
        """Runs the ways in turn, several times, and checks each outcome."""
        end = time.perf_counter() + SECONDS
        for number in range(MOST_ROUNDS):
            if number >= LEAST_ROUNDS and time.perf_counter() > end:
                break
            for way in self.ways:
                begin = time.perf_counter()
                outcome = way.run()
                way.seconds = min(way.seconds, time.perf_counter() - begin)
                if not self.is_right(outcome) and way.name not in self.wrong:
                    self.wrong += (way.name,)

    def speed_up(self, way: Way) -> float:
        """How many times as fast as the first way."""
        return self.ways[0].seconds / way.seconds
