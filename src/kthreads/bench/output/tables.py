"""A run as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from kthreads.bench.analysis.compare import Change
from kthreads.bench.analysis.ratios import Interval
from kthreads.bench.analysis.summary import Peers, RunSummary, peers_in_order
from kthreads.bench.measure.syscalls import PURPOSES
from kthreads.bench.model.peer_names import OURS, name_of
from kthreads.bench.model.scenario import Scenario
from kthreads.bench.model.suites import SUITES
from kthreads.bench.output.units import time_of

_STYLES = {"better": "green", "worse": "red", "same": "dim"}
_BLOCKS = " ▁▂▃▄▅▆▇█"


def shape(counts: Sequence[int]) -> str:
    """A histogram as blocks, one a bin."""
    return "".join(_BLOCKS[-(-count * (len(_BLOCKS) - 1) // max(counts))] for count in counts)


def verdict(ratio: Interval | None, ours: str, peer: str) -> str:
    """Which of the two is ahead; "no winner" when the interval spans 1."""
    if ratio is None or peer == ours:
        return ""
    if ratio.spans_one:
        return "no winner"
    return f"{name_of(ours if ratio.value < 1 else peer)} ahead"


def _row(scenario: Scenario, peer: str, run: RunSummary) -> list[str]:
    ours = SUITES[scenario.suite].ours
    summary = run.scenarios[scenario][peer]
    quantiles = summary.quantiles
    ratio = run.ratio(scenario, ours, peer)
    return [
        name_of(peer),
        *(time_of(value) for value in (quantiles.p50, quantiles.p90, quantiles.p99, quantiles.p999, quantiles.max)),
        shape(summary.histogram),
        f"{summary.cpu_per_wall:.2f}",
        "" if ratio is None else str(ratio),
        verdict(ratio, ours, peer),
    ]


def of_scenario(scenario: Scenario, run: RunSummary) -> Table:
    """The distributions of all peers in a scenario, and how they compare."""
    table = Table(title=scenario.title, title_justify="left", title_style="bold")
    ours = SUITES[scenario.suite].ours
    table.add_column("peer", no_wrap=True)
    for column in ("p50", "p90", "p99", "p99.9", "max", "histogram", "CPU/wall", f"{name_of(ours)} / peer"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for peer in peers_in_order(scenario, run.scenarios[scenario]):
        table.add_row(*_row(scenario, peer, run), style="bold" if peer in OURS else "")
    return table


def of_memory(scenario: Scenario, peers: Peers) -> Table:
    """The memory of a thread while it waits, in KiB."""
    table = Table(title=f"Memory of each of {scenario.case}, KiB", title_justify="left", title_style="bold")
    table.add_column("peer")
    kinds = memory_kinds(peers)
    for column in (*kinds, "start", "stop"):
        table.add_column(column, justify="right")
    for peer, summary in peers_in_order(scenario, peers).items():
        values = [f"{summary.more.get(kind, 0) / 1024:.1f}" for kind in kinds]
        times = time_of(summary.quantiles.p50), time_of(summary.more.get("stop ns", 0))
        table.add_row(name_of(peer), *values, *times)
    return table


def memory_kinds(peers: Peers) -> list[str]:
    """The kinds of memory that were measured, in order."""
    return list(dict.fromkeys(kind for summary in peers.values() for kind in summary.more if kind != "stop ns"))


def of_syscalls(run: RunSummary) -> Table:
    """System calls a thread, a column for each way to make one."""
    table = Table(title="System calls of a create and join, both threads", title_justify="left", title_style="bold")
    table.add_column("call")
    for maker in run.syscalls:
        table.add_column(maker, justify="right", no_wrap=True)
    table.add_column("what for", min_width=40)
    for name in run.syscall_names:
        counts = [run.syscalls[maker].get(name, 0) for maker in run.syscalls]
        table.add_row(name, *(f"{count:g}" if count else "·" for count in counts), PURPOSES.get(name, ""))
    return table


def of_run(run: RunSummary) -> Iterator[Table | Text]:
    """All tables of a run."""
    for scenario, peers in run.scenarios.items():
        if SUITES[scenario.suite].family == "alive":
            yield of_memory(scenario, peers)
        else:
            yield of_scenario(scenario, run)
    if run.syscalls:
        yield of_syscalls(run)
    for peer, reason in run.missing.items():
        yield Text(f"not measured: {name_of(peer)}: {reason}", style="yellow")
    for note in run.notes:
        yield Text(note, style="bold yellow")


def of_changes(found: list[Change]) -> Table:
    """What changed, the largest change first; those within the noise are counted."""
    table = Table(title="Against the old run", title_justify="left", title_style="bold")
    for column in ("what", "peer", "new / old", "verdict"):
        table.add_column(column)
    for change in sorted(found, key=lambda change: -abs(change.ratio.value - 1)):
        if change.verdict != "same":
            cells = [change.scenario.title, name_of(change.peer), str(change.ratio), change.verdict]
            table.add_row(*cells, style=_STYLES[change.verdict])
    same = sum(change.verdict == "same" for change in found)
    table.caption = f"{same} of {len(found)} within the noise"
    return table
