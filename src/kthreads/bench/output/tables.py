"""Runs as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from kthreads.bench.analysis.compare import Change
from kthreads.bench.analysis.results import Place, Row, Run
from kthreads.bench.analysis.stats import Interval, Summary, histogram
from kthreads.bench.measure.calls import WHY
from kthreads.bench.measure.suites import OURS, SUITES, name_of

_STYLES = {"better": "green", "worse": "red", "same": "dim"}


def time_of(ns: float) -> str:
    """Nanoseconds with three digits and the unit that suits them."""
    units = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1, "ns"))
    unit, name = next((each for each in units if abs(ns) >= each[0]), units[-1])
    value = ns / unit
    return f"{value:.0f} {name}" if abs(value) >= 100 or unit == 1 else f"{value:.3g} {name}"


_BLOCKS = " ▁▂▃▄▅▆▇█"


def shape(samples: list[int], bins: int = 12) -> str:
    """The histogram from the 1st to the 99th percentile, logarithmic."""
    counts = histogram(samples, bins)
    return "".join(_BLOCKS[-(-count * (len(_BLOCKS) - 1) // max(counts))] for count in counts)


def verdict(ratio: Interval | None, ours: str, peer: str) -> str:
    """Who is ahead; nobody when the interval spans 1."""
    if ratio is None or peer == ours:
        return ""
    if ratio.spans_one:
        return "no winner"
    return f"{name_of(ours if ratio.value < 1 else peer)} ahead"


def heading(place: Place) -> str:
    """A place in words."""
    case = f", {place.case}" if place.case else ""
    return f"{SUITES[place.suite].title}{case}{', pinned' if place.pinned else ''}"


def _row(place: Place, peer: str, rows: dict[str, Row], run: Run) -> list[str]:
    ours = SUITES[place.suite].ours
    row = rows[peer]
    summary = Summary.of(row.samples)
    ratio = run.ratio(place, ours, peer)
    return [
        name_of(peer),
        *(time_of(value) for value in (summary.p50, summary.p90, summary.p99, summary.p999, summary.max)),
        shape(row.samples),
        f"{row.burnt:.2f}",
        "" if ratio is None else str(ratio),
        verdict(ratio, ours, peer),
    ]


def _in_order(place: Place, rows: dict[str, Row]) -> list[str]:
    return [peer for peer in SUITES[place.suite].peers if peer in rows]


def of_place(place: Place, rows: dict[str, Row], run: Run) -> Table:
    """The distributions of one place and how they compare."""
    table = Table(title=heading(place), title_justify="left", title_style="bold")
    ours = SUITES[place.suite].ours
    table.add_column("peer", no_wrap=True)
    for column in ("p50", "p90", "p99", "p99.9", "max", "histogram", "CPU/wall", f"{name_of(ours)} / peer"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for peer in _in_order(place, rows):
        table.add_row(*_row(place, peer, rows, run), style="bold" if peer in OURS else "")
    return table


def of_memory(place: Place, rows: dict[str, Row]) -> Table:
    """KiB that a thread takes while it waits."""
    table = Table(title=f"Memory of each of {place.case}, KiB", title_justify="left", title_style="bold")
    table.add_column("peer")
    kinds = list(dict.fromkeys(what for row in rows.values() for what in row.blocks[0].more if what != "stop ns"))
    for column in (*kinds, "start", "stop"):
        table.add_column(column, justify="right")
    for peer in _in_order(place, rows):
        row = rows[peer]
        values = [f"{(row.more(kind) or 0) / 1024:.1f}" for kind in kinds]
        start = Summary.of(row.samples).p50
        table.add_row(name_of(peer), *values, time_of(start), time_of(row.more("stop ns") or 0))
    return table


def of_syscalls(run: Run) -> Table:
    """Calls a thread, one column for each way to make one."""
    table = Table(title="System calls of a create and join, both threads", title_justify="left", title_style="bold")
    table.add_column("call")
    for maker in run.syscalls:
        table.add_column(maker, justify="right", no_wrap=True)
    table.add_column("what for", min_width=40)
    names = dict.fromkeys(name for counts in run.syscalls.values() for name in counts)
    for name in names:
        counts = [run.syscalls[maker].get(name, 0) for maker in run.syscalls]
        table.add_row(name, *(f"{count:g}" if count else "·" for count in counts), WHY.get(name, ""))
    return table


def of_run(run: Run) -> Iterator[Table | Text]:
    """All tables of a run."""
    for place, rows in run.places.items():
        if SUITES[place.suite].family == "alive":
            yield of_memory(place, rows)
        else:
            yield of_place(place, rows, run)
    if run.syscalls:
        yield of_syscalls(run)
    for peer, reason in run.missing.items():
        yield Text(f"not measured: {name_of(peer)}: {reason}", style="yellow")
    for note in run.notes:
        yield Text(note, style="bold yellow")


def of_changes(found: list[Change]) -> Table:
    """What changed; those that did not are counted."""
    table = Table(title="Against the old run", title_justify="left", title_style="bold")
    for column in ("what", "peer", "new / old", "verdict"):
        table.add_column(column)
    for change in sorted(found, key=lambda change: -abs(change.ratio.value - 1)):
        if change.verdict != "same":
            cells = [heading(change.place), name_of(change.peer), str(change.ratio), change.verdict]
            table.add_row(*cells, style=_STYLES[change.verdict])
    same = sum(change.verdict == "same" for change in found)
    table.caption = f"{same} of {len(found)} within the noise"
    return table
