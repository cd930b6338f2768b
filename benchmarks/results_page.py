"""The page of results, docs/results/index.md."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from markdown_table import table

from kthreads.bench.analysis import findings
from kthreads.bench.analysis.summary import Peers, RunSummary
from kthreads.bench.measure.environment import sentence
from kthreads.bench.measure.syscalls import PURPOSES
from kthreads.bench.model.peer_names import name_of
from kthreads.bench.model.scenario import Scenario
from kthreads.bench.model.suites import SUITES
from kthreads.bench.output.figures import figures_of
from kthreads.bench.output.tables import memory_kinds
from kthreads.bench.output.units import time_of

COUNTS = Path(__file__).with_name("instructions.json")

COLUMNS = ("peer", "p50", "p90", "p99", "p99.9", "max", "CPU/wall", "faults", "switches", "threads", "ratio")
SIDES = (
    (findings.AHEAD, "Where kthreads is ahead", "The whole interval of the ratio is below 1."),
    (findings.EVEN, "Where there is no winner", "The interval spans 1."),
    (findings.BEHIND, "Where a peer is ahead", "The whole interval is above 1."),
)


def in_short(run: RunSummary) -> Iterator[str]:
    """How many comparisons are on which side, and all of them in sentences."""
    found = findings.findings(run)
    counts = {side: sum(finding.side == side for finding in found) for side, _, _ in SIDES}
    processes = len(
        {process for peers in run.scenarios.values() for each in peers.values() for process in each.processes}
    )
    yield (
        f"{len(found)} comparisons, each a ratio of kthreads' time to a peer's with its 95 % interval, over {processes} "
        f"fresh processes: kthreads is ahead in {counts[findings.AHEAD]}, a peer in {counts[findings.BEHIND]}, and in "
        f"{counts[findings.EVEN]} there is no winner."
    )
    yield ""
    for side, title, meaning in SIDES:
        yield from (f"## {title}", "", meaning, "")
        yield from (f"- {text}" for text in findings.sentences(found, side))
        yield ""


def figures(run: RunSummary) -> Iterator[str]:
    """A table for each scenario."""
    yield from (
        "## All figures",
        "",
        "Ratios are of the suite's first peer to the peer of the row; faults and switches are page faults and voluntary "
        "context switches of the process, a sample.",
        "",
    )
    for scenario, peers in run.in_order():
        if SUITES[scenario.suite].family == "alive":
            yield from memory(scenario, peers)
            continue
        yield from (f"### {scenario.title}", "")
        body = []
        for peer, summary in peers.items():
            ratio = run.ratio(scenario, SUITES[scenario.suite].ours, peer)
            body.append((name_of(peer), *figures_of(summary), "" if ratio is None else str(ratio)))
        yield from (*table(COLUMNS, body), "")


def memory(scenario: Scenario, peers: Peers) -> Iterator[str]:
    """The memory of a thread, for each peer."""
    yield from (f"### Threads that are all alive, {scenario.case}: a thread", "")
    kinds = memory_kinds(peers)
    body = []
    for peer, summary in peers.items():
        sizes = [f"{summary.more.get(kind, 0) / 1024:.1f} KiB" for kind in kinds]
        times = (time_of(summary.quantiles.p50), time_of(summary.more.get("stop ns", 0)))
        body.append((name_of(peer), *times, *sizes))
    yield from (*table(("peer", "start", "stop", *kinds), body), "")


def syscalls(run: RunSummary) -> Iterator[str]:
    """The counts of system calls, where the run has them."""
    if not run.syscalls:
        return
    yield from ("## System calls of a create and join, both threads", "")
    rows = [
        (f"`{name}`", *(f"{counts.get(name, 0):g}" for counts in run.syscalls.values()), PURPOSES.get(name, ""))
        for name in run.syscall_names
    ]
    yield from (*table(("call", *map(name_of, run.syscalls), "what for"), rows), "")


def instructions() -> Iterator[str]:
    """The counts that benchmarks/instructions.py recorded."""
    recorded = json.loads(COUNTS.read_text())
    yield from (f"## Instructions in user space, of the calling thread ({recorded['machine']})", "")
    rows = [
        (name.replace("_", " "), f"{count:,.0f}", f"{recorded['bounds'][name]:,}" if name in recorded["bounds"] else "")
        for name, count in recorded["counted"].items()
    ]
    yield from (*table(("path", "counted", "at most, in CI"), rows), "")


def page(run: RunSummary) -> str:
    """The text of the page."""
    lines = [
        "# Results",
        "",
        f"{sentence(run.environment)}. Written by `python benchmarks/results.py` from a run of `kthreads bench`.",
        "The <a href='../report.html'>report</a> has the plots; `docs/results/quantiles.json.gz` has the quantiles",
        "that both are made of. [How it is measured](../howto/measure.md) says what the suites are.",
        "",
        *in_short(run),
        "## What was not measured",
        "",
        *(f"- {text}" for text in findings.not_measured(run)),
        *(f"- {note}" for note in run.notes),
        "",
        *figures(run),
        *syscalls(run),
        *instructions(),
        "## The environment",
        "",
        *table(("", ""), ((str(key), f"`{value}`") for key, value in run.environment.items())),
    ]
    return "\n".join(lines).rstrip() + "\n"
