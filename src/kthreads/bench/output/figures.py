"""The part of the report that shows one suite: its plots, and the table of all its figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from kthreads.bench.analysis.ratios import Interval
from kthreads.bench.analysis.summary import Peers, PeerSummary, RunSummary, curve_parts
from kthreads.bench.model.peer_names import name_of
from kthreads.bench.model.scenario import Scenario
from kthreads.bench.model.suites import SUITES, WORK_NS
from kthreads.bench.output import html, plots
from kthreads.bench.output.looks import Look, look_of
from kthreads.bench.output.plots import Series
from kthreads.bench.output.svg import Point
from kthreads.bench.output.units import time_of

PROCESSES = {"fork", "vfork-exec"}  # so slow that all threads would look alike beside them: in plots of ratios alone
MEMORY_KINDS = ("resident", "page tables", "kernel stacks")
LEAST_NS = 10.0  # where a distribution begins: shorter times cannot be told from nothing
LEAST_P50_NS = 100.0  # the same for medians
LEAST_GAP_NS = 2000.0  # where a logarithmic axis has the gap of 0

Scenarios = Sequence[tuple[Scenario, Peers]]


def of_suite(name: str, scenarios: Scenarios, run: RunSummary) -> str:
    """The section of a suite: its scenarios, in order."""
    suite = SUITES[name]
    if suite.family == "alive":
        return html.section(name, suite.title, _memory(scenarios))
    peers = [peer for peer in suite.peers if any(peer in found for _, found in scenarios)]
    parts = [_legend(name, peers)]
    if name == "region":
        parts.append(html.grid(_gaps(scenarios)))
    if len({scenario.value for scenario, _ in scenarios}) > 1 and name in ("creators", "region-scale"):
        parts.append(html.grid(_scaling(scenarios, run)))
    parts += [html.grid(_of_scenario(scenario, found, run)) for scenario, found in scenarios]
    return html.section(name, suite.title, "".join([*parts, _numbers(scenarios, run)]))


def _legend(suite: str, peers: Iterable[str]) -> str:
    line = '<svg viewBox="0 0 26 8"><line x1="1" y1="4" x2="25" y2="4" {}/></svg>'
    return html.legend((line.format(look_of(suite, peer).stroke), name_of(peer)) for peer in peers)


def _short_title(scenario: Scenario) -> str:
    """What tells a scenario from the others of its suite."""
    pinned = "pinned" if scenario.pinned else "not pinned" if SUITES[scenario.suite].pins else ""
    return ", ".join(part for part in (scenario.case, pinned) if part) or "all"


def _of_scenario(scenario: Scenario, peers: Peers, run: RunSummary) -> str:
    """The distributions of all peers, and their ratios."""
    series = [
        Series(
            name_of(peer),
            look_of(scenario.suite, peer),
            [(max(LEAST_NS, ns), part) for ns, part in zip(summary.curve, curve_parts(), strict=True)],
        )
        for peer, summary in peers.items()
        if peer not in PROCESSES
    ]
    title = _short_title(scenario)
    found = html.figure(title, plots.distribution(series, time_of, f"{scenario.title}: distribution"))
    ours = SUITES[scenario.suite].ours
    compared: list[tuple[str, Look, Interval]] = []
    for peer in peers:
        ratio = run.ratio(scenario, ours, peer)
        if ratio is not None:
            compared.append((name_of(peer), look_of(scenario.suite, peer), ratio))
    if compared:
        found += html.figure(f"{name_of(ours)} / peer, {title}", plots.ratios(compared, f"{scenario.title}: ratios"))
    return found


def _numbers(scenarios: Scenarios, run: RunSummary) -> str:
    header = ("", "peer", "p50", "p90", "p99", "p99.9", "max", "CPU/wall", "faults", "switches", "threads", "ratio")
    body = []
    for scenario, peers in scenarios:
        ours = SUITES[scenario.suite].ours
        for peer, summary in peers.items():
            ratio = run.ratio(scenario, ours, peer)
            cells = figures_of(summary)
            body.append((_short_title(scenario), name_of(peer), *cells, "" if ratio is None else str(ratio)))
    return html.details("All figures", html.table(header, body))


def figures_of(summary: PeerSummary) -> list[str]:
    """The cells of a table: p50, p90, p99, p99.9, max, CPU/wall, faults, switches, threads."""
    quantiles = summary.quantiles
    times = (quantiles.p50, quantiles.p90, quantiles.p99, quantiles.p999, quantiles.max)
    threads = f"{summary.threads:.2f}" if summary.threads else ""
    return [
        *map(time_of, times),
        f"{summary.cpu_per_wall:.2f}",
        f"{summary.faults:.1f}",
        f"{summary.switches:.1f}",
        threads,
    ]


def _over(scenarios: Scenarios, point: Callable[[Scenario, PeerSummary], Point]) -> list[Series]:
    """A series for each peer, with a point for each scenario."""
    series = []
    for peer in dict.fromkeys(peer for _, peers in scenarios for peer in peers):
        here = [(scenario, peers[peer]) for scenario, peers in scenarios if peer in peers]
        texts = [
            f"{name_of(peer)}, {scenario.case}: p50 {time_of(summary.quantiles.p50)}, {summary.cpu_per_wall:.2f} CPUs"
            for scenario, summary in here
        ]
        look = look_of(here[0][0].suite, peer)
        series.append(Series(name_of(peer), look, [point(*each) for each in here], texts))
    return series


def _p50(summary: PeerSummary) -> float:
    return max(LEAST_P50_NS, summary.quantiles.p50)


def _not_pinned(scenarios: Scenarios) -> Scenarios:
    return [(scenario, peers) for scenario, peers in scenarios if not scenario.pinned]


def _gaps(scenarios: Scenarios) -> str:
    """The overhead against the CPU time that it costs, and over the gap between two regions."""
    loose = _not_pinned(scenarios)
    by_cpu = plots.curves(
        _over(loose, lambda scenario, summary: (summary.cpu_per_wall, _p50(summary))),
        "Overhead against CPU time",
        x_label="CPU seconds per wall second",
        x_format="{:g}".format,
        scatter=True,
        y_label="overhead, p50",
        y_format=time_of,
    )
    by_gap = plots.curves(
        _over(loose, lambda scenario, summary: (max(scenario.value, LEAST_GAP_NS), _p50(summary))),
        "Overhead over the gap",
        x_label="gap between two regions",
        x_format=lambda ns: "none" if ns <= LEAST_GAP_NS else time_of(ns),
        y_label="overhead, p50",
        y_format=time_of,
    )
    note = "The larger the dot, the longer the gap. Lower left is better: fast, and an idle machine in between."
    return html.figure("Overhead against CPU time", by_cpu, note) + html.figure("Overhead over the gap", by_gap)


def _scaling(scenarios: Scenarios, run: RunSummary) -> str:
    """The time over the number of threads."""
    loose = _not_pinned(scenarios)
    cpus = len(run.environment["affinity"])
    is_region = loose[0][0].suite == "region-scale" if loose else False
    threads = sorted({scenario.value for scenario, _ in loose})
    ideal = [(count, WORK_NS * (count / cpus - 1)) for count in threads if count > cpus] if is_region else []
    plot = plots.curves(
        _over(loose, lambda scenario, summary: (scenario.value, _p50(summary))),
        "Time over threads",
        x_label=f"threads, on {cpus} CPUs",
        x_format="{:g}".format,
        y_label="p50",
        y_format=time_of,
        ideal=ideal,
    )
    note = "Grey: the time that the work of more threads than CPUs takes in any case." if ideal else ""
    return html.figure("Over threads", plot, note)


def _memory(scenarios: Scenarios) -> str:
    """The memory of a thread, as bars for the last scenario and a table of all."""
    scenario, peers = scenarios[-1]
    parts = [
        (name_of(peer), [max(0.0, summary.more.get(kind, 0.0)) / 1024 for kind in MEMORY_KINDS])
        for peer, summary in peers.items()
    ]
    plot = plots.bars(parts, MEMORY_KINDS, "Memory a thread", "{:.3g} KiB".format)
    symbols = [(f'<i style="background: var(--s{number})"></i>', kind) for number, kind in enumerate(MEMORY_KINDS)]
    figure = html.figure(f"Memory of a thread that waits, of {scenario.case}", plot) + html.legend(symbols)
    header = ("", "peer", "start", "stop", *MEMORY_KINDS, "cgroup", "machine")
    body = []
    for scenario, peers in scenarios:
        for peer, summary in peers.items():
            sizes = [summary.more.get(kind) for kind in (*MEMORY_KINDS, "cgroup", "machine")]
            texts = ["" if size is None else f"{size / 1024:.1f} KiB" for size in sizes]
            times = (time_of(_p50(summary)), time_of(summary.more.get("stop ns", 0)))
            body.append((scenario.case, name_of(peer), *times, *texts))
    return figure + html.details("All figures, a thread", html.table(header, body), opened=True)
