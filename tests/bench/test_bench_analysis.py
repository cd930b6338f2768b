"""What is found in a run, and what has changed between two."""

from __future__ import annotations

import pytest
from bench_runs import block, full_run

from kthreads.bench.analysis import findings
from kthreads.bench.analysis.compare import changes, differences
from kthreads.bench.analysis.summary import RunSummary
from kthreads.bench.model.run import Run
from kthreads.bench.output import tables


@pytest.fixture(scope="module")
def run():
    return RunSummary.of(full_run())


def pair(old, new):
    """What is found of two runs of four processes."""
    before, after = (
        RunSummary.of(Run(blocks=[block(samples=[time], process=n) for n, time in enumerate(times)]))
        for times in (old, new)
    )
    (change,) = changes(after, before)
    return change


@pytest.mark.parametrize(
    ("old", "new", "verdict"),
    [
        ([100, 101, 99, 100], [50, 51, 49, 50], "better"),
        ([100, 101, 99, 100], [200, 201, 199, 200], "worse"),
        ([100, 101, 99, 100], [102, 103, 102, 103], "same"),  # less than a twentieth
        ([100, 200, 50, 100], [180, 90, 60, 150], "same"),  # within the noise
    ],
)
def test_a_change_counts_when_it_is_beyond_the_noise(old, new, verdict):
    assert pair(old, new).verdict == verdict


def test_a_run_that_takes_twice_as_long_is_worse_everywhere(run):
    found = list(changes(RunSummary.of(full_run(2.0, seed=1)), run))
    assert {change.verdict for change in found} == {"worse"}
    assert len(found) == sum(len(peers) for peers in run.scenarios.values())


def test_other_machines_are_told_apart():
    assert differences(RunSummary({"cpu": "new"}), RunSummary({"cpu": "old"})) == ["cpu: old before, new now"]


def test_each_comparison_is_on_one_side(run):
    found = findings.findings(run)
    behind = [finding for finding in found if finding.side == findings.BEHIND]
    assert behind == []  # ours is the first, and takes the least
    assert all(finding.side == findings.AHEAD for finding in found)


def test_nobody_is_ahead_when_the_interval_spans_one():
    blocks = []
    for process, (ours, theirs) in enumerate([(10, 20), (20, 10), (10, 20), (20, 10)]):
        blocks += [block(samples=[ours], process=process), block(peer="pthread", samples=[theirs], process=process)]
    same = RunSummary.of(Run(blocks=blocks))
    (finding,) = findings.findings(same)
    assert finding.side == findings.EVEN
    assert tables.verdict(same.ratio(finding.scenario, "clone", "pthread"), "clone", "pthread") == "no winner"


def test_what_is_missing_is_named(run):
    assert any("numba is not installed" in text for text in findings.not_measured(run))
