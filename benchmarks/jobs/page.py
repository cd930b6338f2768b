"""The page of the jobs, docs/results/jobs.md."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from jobs.reasons import REASONS
from markdown_table import table

from kthreads.bench.analysis import findings
from kthreads.bench.analysis.findings import Finding
from kthreads.bench.analysis.summary import Peers, RunSummary
from kthreads.bench.measure.environment import sentence
from kthreads.bench.model.peer_names import name_of
from kthreads.bench.model.scenario import Scenario
from kthreads.bench.output.units import time_of

FOLDER = Path(__file__).parents[2] / "docs" / "results"
PAGE, QUANTILES = FOLDER / "jobs.md", FOLDER / "jobs.json.gz"
SUITE = "jobs"
VERDICTS = {findings.AHEAD: "kthreads ahead", findings.EVEN: "no winner", findings.BEHIND: "**peer ahead**"}


def rows(scenario: Scenario, peers: Peers, found: dict[str, Finding]) -> Iterator[tuple[str, ...]]:
    """A row for each peer: its median, and how kthreads compares with it."""
    for peer, summary in peers.items():
        times = time_of(summary.quantiles.p50), time_of(summary.curve[0])
        compared = found.get(peer)
        verdict = ("", "") if compared is None else (str(compared.ratio), VERDICTS[compared.side])
        yield name_of(peer), *times, *verdict


def of_job(scenario: Scenario, peers: Peers, found: dict[str, Finding]) -> Iterator[str]:
    """The section of a job: its table, and why a peer is ahead."""
    yield from (f"## {scenario.case[0].upper()}{scenario.case[1:]}", "")
    yield from table(("by", "median", "best", "kthreads / peer", ""), rows(scenario, peers, found))
    yield ""
    for peer, finding in found.items():
        if finding.side == findings.BEHIND:
            yield from (f"{name_of(peer)} is ahead: {REASONS[scenario.case, peer]}", "")


def page(run: RunSummary) -> str:
    """The text of the page.

    Raises:
        KeyError: a peer is ahead, and `REASONS` does not say why.
    """
    by_scenario: dict[Scenario, dict[str, Finding]] = {}
    for finding in findings.findings(run):
        by_scenario.setdefault(finding.scenario, {})[finding.peer] = finding
    behind = [
        finding for found in by_scenario.values() for finding in found.values() if finding.side == findings.BEHIND
    ]
    jobs_behind = {finding.scenario for finding in behind}
    notes = [line for note in run.notes for line in (f"{note[0].upper()}{note[1:]}.", "")]
    lines = [
        "# Jobs",
        "",
        f"{sentence(run.environment)}. Written by `python benchmarks/jobs` from a run of `kthreads bench jobs`;",
        "[how it is measured](../howto/measure.md) says what the jobs and the peers are.",
        "",
        *notes,
        f"kthreads is first or equal in {len(by_scenario) - len(jobs_behind)} of {len(by_scenario)} jobs. A ratio is that of "
        "kthreads' time to the peer's, with its 95 % interval; where the interval contains 1, there is no winner.",
        "",
    ]
    for scenario, peers in run.in_order():
        if scenario.suite == SUITE:
            lines += of_job(scenario, peers, by_scenario.get(scenario, {}))
    if run.missing:
        missing = (f"- {name_of(peer)}: {reason}." for peer, reason in run.missing.items())
        lines += ["## What was not measured", "", *missing]
    return "\n".join(lines).rstrip() + "\n"
