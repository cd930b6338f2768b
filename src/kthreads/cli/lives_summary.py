"""What the lives of a program's threads come to: counts, quantiles, and the same as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.table import Table

from kthreads.bench.analysis.distribution import quantile
from kthreads.bench.output.units import time_of
from kthreads.flags.text import text
from kthreads.programs.lives import HANDED, Life, Record

__all__ = ["Summary", "table_of"]


@dataclass(frozen=True)
class Summary:
    """The threads of a program. Those that pthread_create refused are in `refused` alone.

    Attributes:
        threads: how many were made, those beyond `recorded` included.
        recorded: of how many the rest tells.
        processes: how many processes made threads.
        joined, detached, reused, refused: how many.
        most_alive: how many there were at once, in one process.
        flags: how many were made with which flags of clone.
        handed: how many were left to libc, by the reason.
        stacks: how many have a stack of which size in bytes.
        start_ns, join_ns: p50 and p99 of the time from pthread_create to the thread's first instruction, and from its end,
            or the call of the join if that came later, to the return of the join. None without such a thread.
    """

    threads: int
    recorded: int
    processes: int
    joined: int
    detached: int
    reused: int
    refused: int
    most_alive: int
    flags: Mapping[str, int]
    handed: Mapping[str, int]
    stacks: Mapping[int, int]
    start_ns: tuple[float, float] | None
    join_ns: tuple[float, float] | None

    @classmethod
    def of(cls, record: Record) -> Summary:
        """That of a record."""
        lives = [life for life in record.lives if not life.error]
        refused = len(record.lives) - len(lives)
        return cls(
            threads=record.threads - refused,
            recorded=len(lives),
            processes=len({life.pid for life in lives}),
            joined=sum(life.joined_ns > 0 for life in lives),
            detached=sum(life.detached for life in lives),
            reused=sum(life.reused for life in lives),
            refused=refused,
            most_alive=most_alive(lives),
            flags=dict(Counter(_flags(life.flags) for life in lives if life.flags).most_common()),
            handed=dict(Counter(HANDED[life.handed] for life in lives if life.handed).most_common()),
            stacks=dict(sorted(Counter(life.stack_size for life in lives).items())),
            start_ns=_quantiles([life.begin_ns - life.create_ns for life in lives if life.begin_ns]),
            join_ns=_quantiles(
                [life.joined_ns - max(life.end_ns, life.join_ns) for life in lives if life.joined_ns and life.end_ns]
            ),
        )

    def as_json(self) -> dict[str, Any]:
        """For `json.dump`."""
        return asdict(self)


def _flags(flags: int) -> str:
    return "clone: " + text(flags).replace("CLONE_", "")


def _quantiles(times: list[int]) -> tuple[float, float] | None:
    ordered = sorted(times)
    return (quantile(ordered, 0.5), quantile(ordered, 0.99)) if ordered else None


def most_alive(lives: Iterable[Life]) -> int:
    """How many threads of one process there were at once, from the call that makes a thread to its end."""
    changes: dict[int, list[tuple[int, int]]] = {}
    for life in lives:
        if life.begin_ns:
            changes.setdefault(life.image, []).append((life.create_ns, 1))
            if life.end_ns:
                changes[life.image].append((life.end_ns, -1))
    most = 0
    for of_image in changes.values():
        alive = 0
        for _, change in sorted(of_image):
            alive += change
            most = max(most, alive)
    return most


def _size(size: int) -> str:
    units = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"))
    return next((f"{size / unit:.4g} {name}" for unit, name in units if size >= unit), f"{size} bytes")


def _times(quantiles: tuple[float, float] | None) -> str:
    return "none" if quantiles is None else f"{time_of(quantiles[0])}, {time_of(quantiles[1])}"


def table_of(summary: Summary) -> Table:
    """A table of two columns."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("threads made", f"{summary.threads:,}")
    if summary.recorded < summary.threads:
        table.add_row("recorded", f"the first {summary.recorded:,}, which the rest is about")
    if summary.processes > 1:
        table.add_row("by processes", f"{summary.processes:,}")
    table.add_row("joined", f"{summary.joined:,}")
    table.add_row("detached", f"{summary.detached:,}")
    table.add_row("on a kernel thread reused", f"{summary.reused:,}")
    if summary.refused:
        table.add_row("refused", f"{summary.refused:,}")
    table.add_row("most alive at once", f"{summary.most_alive:,}")
    table.add_row("create to first instruction, p50, p99", _times(summary.start_ns))
    table.add_row("end to join, p50, p99", _times(summary.join_ns))
    table.add_row("stacks", ", ".join(f"{count:,} of {_size(size)}" for size, count in summary.stacks.items()))
    for flags, count in summary.flags.items():
        table.add_row("made by", f"{count:,} by {flags.replace('|', ' ')}")
    for reason, count in summary.handed.items():
        table.add_row("left to libc", f"{count:,}: {reason}")
    return table
