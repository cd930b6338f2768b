"""Python targets on two threads beside the same on one, on this Python: writes docs/_free_threading.md on a free-threaded one.

python benchmarks/free_threading.py --rounds 31
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import statistics
import sysconfig
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from markdown_table import table
from pairs import measure

import kthreads
from kthreads.bench.measure.environment import now, sentence

PAGE = Path(__file__).parents[1] / "docs" / "_free_threading.md"
ITEMS = 60_000  # of a call: some 5 ms


def work(begin: int = 0, end: int = ITEMS) -> int:
    """Pure Python that shares nothing."""
    total = 0
    for number in range(begin, end):
        total = (total + number * number) % 65521
    return total


def by_threads(kind: Any, count: int) -> None:
    """Two calls on so many new threads of a class."""

    def run() -> None:
        for _ in range(2 // count):
            work()

    threads = [kind(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def by_tasks(executor: Any) -> None:
    """Two calls as tasks."""
    for future in [executor.submit(work) for _ in range(2)]:
        future.result()


Pair = tuple[Callable[[], object], Callable[[], object]]


@contextlib.contextmanager
def pairs() -> Iterator[dict[str, Pair]]:
    """What does the two calls on one thread, and on two, of each kind."""
    with ExitStack() as stack:
        pools = [stack.enter_context(kthreads.Pool(count)) for count in (1, 2)]
        executors = [stack.enter_context(kthreads.ThreadPoolExecutor(count)) for count in (1, 2)]
        standard = [stack.enter_context(concurrent.futures.ThreadPoolExecutor(count)) for count in (1, 2)]
        yield {
            "`kthreads.Thread`": (lambda: by_threads(kthreads.Thread, 1), lambda: by_threads(kthreads.Thread, 2)),
            "`kthreads.Pool`, `submit`": (lambda: by_tasks(pools[0]), lambda: by_tasks(pools[1])),
            "`kthreads.Pool`, `parallel_for`": (
                lambda: pools[0].parallel_for(work, 2 * ITEMS),
                lambda: pools[1].parallel_for(work, 2 * ITEMS),
            ),
            "`kthreads.ThreadPoolExecutor`": (lambda: by_tasks(executors[0]), lambda: by_tasks(executors[1])),
            "`threading.Thread`": (lambda: by_threads(threading.Thread, 1), lambda: by_threads(threading.Thread, 2)),
            "`concurrent.futures.ThreadPoolExecutor`": (lambda: by_tasks(standard[0]), lambda: by_tasks(standard[1])),
        }


def rows(rounds: int) -> Iterator[list[str]]:
    with pairs() as kinds:
        operations = {f"{name} {count}": pair[count - 1] for name, pair in kinds.items() for count in (1, 2)}
        times = measure(operations, rounds=rounds, batch=1)
    for name in kinds:
        one, two = times[f"{name} 1"], times[f"{name} 2"]
        quarters = statistics.quantiles(a / b for a, b in zip(one, two, strict=True))
        yield [
            name,
            *(f"{statistics.median(each) * 1000:.1f} ms" for each in (one, two)),
            f"{quarters[1]:.2f} times ({quarters[0]:.2f} to {quarters[2]:.2f})",
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=31)
    options = parser.parse_args()
    free = bool(sysconfig.get_config_var("Py_GIL_DISABLED"))
    header = f"{sentence(now())}; {'free-threaded' if free else 'with the GIL'}; {options.rounds} rounds"
    found = table(
        ("two calls of a Python function on", "one thread", "two", "as fast (quartiles)"), rows(options.rounds)
    )
    text = "\n".join([header, "", *found]) + "\n"
    if free:
        PAGE.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
