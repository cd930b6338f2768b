"""Writes docs/results from runs of `kthreads bench`:

    kthreads bench --json run.json && python benchmarks/results.py run.json

Several runs on the same machine, of different suites, become one: `python benchmarks/results.py threads.json pools.json`.
Every figure and every sentence about one comes from the runs, and from the counts of benchmarks/instructions.py.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from kthreads.bench.analysis import findings
from kthreads.bench.analysis.summary import Peers, RunSummary
from kthreads.bench.measure.environment import sentence
from kthreads.bench.measure.syscalls import PURPOSES
from kthreads.bench.model.peer_names import name_of
from kthreads.bench.model.run import FormatError, Run, merged
from kthreads.bench.model.scenario import Scenario
from kthreads.bench.model.suites import SUITES
from kthreads.bench.output import report
from kthreads.bench.output.figures import figures_of
from kthreads.bench.output.tables import memory_kinds
from kthreads.bench.output.units import time_of

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "results"
COST = ROOT / "docs" / "_cost.md"
COUNTS = ROOT / "benchmarks" / "instructions.json"

SIDES = (
    (findings.AHEAD, "Where kthreads is ahead", "The whole interval of the ratio is below 1."),
    (findings.EVEN, "Where there is no winner", "The interval spans 1."),
    (findings.BEHIND, "Where a peer is ahead", "The whole interval is above 1."),
)


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    columns = list(header)
    yield f"| {' | '.join(columns)} |"
    yield "|" + "---|" * len(columns)
    for row in rows:
        yield f"| {' | '.join(row)} |"
    yield ""


# ---- The page of results -------------------------------------------------------------------------------------------------


def in_short(run: RunSummary) -> Iterator[str]:
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
        yield from table(
            ("peer", "p50", "p90", "p99", "p99.9", "max", "CPU/wall", "faults", "switches", "threads", "ratio"), body
        )


def memory(scenario: Scenario, peers: Peers) -> Iterator[str]:
    yield from (f"### Threads that are all alive, {scenario.case}: a thread", "")
    kinds = memory_kinds(peers)
    body = []
    for peer, summary in peers.items():
        sizes = [f"{summary.more.get(kind, 0) / 1024:.1f} KiB" for kind in kinds]
        times = (time_of(summary.quantiles.p50), time_of(summary.more.get("stop ns", 0)))
        body.append((name_of(peer), *times, *sizes))
    yield from table(("peer", "start", "stop", *kinds), body)


def syscalls(run: RunSummary) -> Iterator[str]:
    if not run.syscalls:
        return
    yield from ("## System calls of a create and join, both threads", "")
    names = dict.fromkeys(name for counts in run.syscalls.values() for name in counts)
    rows = [
        (f"`{name}`", *(f"{counts.get(name, 0):g}" for counts in run.syscalls.values()), PURPOSES.get(name, ""))
        for name in names
    ]
    yield from table(("call", *map(name_of, run.syscalls), "what for"), rows)


def instructions() -> Iterator[str]:
    recorded = json.loads(COUNTS.read_text())
    yield from (f"## Instructions in user space, of the calling thread ({recorded['machine']})", "")
    rows = [
        (name.replace("_", " "), f"{count:,.0f}", f"{recorded['bounds'][name]:,}" if name in recorded["bounds"] else "")
        for name, count in recorded["counted"].items()
    ]
    yield from table(("path", "counted", "at most, in CI"), rows)


def page(run: RunSummary) -> str:
    lines = [
        "# Results",
        "",
        f"{sentence(run.environment)}. Written by `python benchmarks/results.py` from a run of `kthreads bench`; the",
        "<a href='../report.html'>report</a> has the plots, `docs/results/run.json.gz` every sample. [How it is",
        "measured](../howto/measure.md) says what the suites are.",
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


# ---- The table of explanation/cost.md --------------------------------------------------------------------------------------

COST_SUITES = {
    "create-join": "pthread",
    "region": "libgomp",
    "py-start": "threading",
    "py-submit": "ThreadPoolExecutor",
}


def cost(run: RunSummary) -> str:
    lines = [f"{sentence(run.environment)}.", ""]
    rows = []
    for scenario, peers in run.in_order():
        if scenario.suite in COST_SUITES:
            against = COST_SUITES[scenario.suite]
            for peer, summary in peers.items():
                ratio = run.ratio(scenario, peer, against)
                of = "" if ratio is None else f"{ratio} of {name_of(against)}"
                rows.append((scenario.title, name_of(peer), time_of(summary.quantiles.p50), of))
    return "\n".join([*lines, *table(("what", "by", "median", "ratio"), rows)]).rstrip() + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN.json")
    options = parser.parse_args()
    try:
        run = merged(Run.load(path) for path in options.runs)
    except (FormatError, OSError) as error:
        parser.error(str(error))
    FOLDER.mkdir(exist_ok=True)
    run.save(FOLDER / "run.json.gz")
    summary = RunSummary.of(run)
    (FOLDER / "report.html").write_text(report.page(summary), encoding="utf-8")
    (FOLDER / "index.md").write_text(page(summary), encoding="utf-8")
    COST.write_text(cost(summary), encoding="utf-8")


if __name__ == "__main__":
    main()
