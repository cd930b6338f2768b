"""The page of the jobs: that it says what the run says, and why a peer is ahead."""

from __future__ import annotations

import pytest
from bench_runs import block, from_benchmarks

from kthreads.bench.analysis import quantiles_file
from kthreads.bench.analysis.summary import RunSummary
from kthreads.bench.measure import environment
from kthreads.bench.model.run import Run
from kthreads.bench.model.suites import JOBS

pytestmark = pytest.mark.any_python


@pytest.fixture(scope="module")
def jobs():
    """benchmarks/jobs/page.py."""
    return from_benchmarks("jobs.page")


def run_with(**times):
    """A run of one job, in which each peer takes a time."""
    blocks = [
        block("jobs", peer, [time] * 5, case="checksums", value=2.0, process=process)
        for peer, time in times.items()
        for process in range(3)
    ]
    return RunSummary.of(Run(environment=environment.now(), blocks=blocks))


def test_the_page_is_made_of_the_run_that_is_kept(jobs):
    assert jobs.PAGE.read_text() == jobs.page(quantiles_file.load(jobs.QUANTILES))


def test_the_run_that_is_kept_has_all_jobs_and_was_not_cut_short(jobs):
    kept = quantiles_file.load(jobs.QUANTILES)
    assert [scenario.case for scenario, _ in kept.in_order()] == list(JOBS)
    assert kept.environment["quick"] is False
    assert not any("cut short" in note or "failed" in note for note in kept.notes)


def test_a_job_where_no_peer_is_ahead_is_counted(jobs):
    page = jobs.page(run_with(kthreads=1000, loop=2000, openmp=1000))
    assert "first or equal in 1 of 1 jobs" in page
    assert "| a loop on one thread | 2 µs | 2 µs | 0.5 [0.5, 0.5] | kthreads ahead |" in page
    assert "| C with OpenMP | 1 µs | 1 µs | 1 [1, 1] | no winner |" in page


def test_the_page_says_why_a_peer_is_ahead(jobs, monkeypatch):
    monkeypatch.setitem(jobs.REASONS, ("checksums", "openmp"), "it does less.")
    page = jobs.page(run_with(kthreads=2000, openmp=1000))
    assert "first or equal in 0 of 1 jobs" in page
    assert "**peer ahead**" in page
    assert "C with OpenMP is ahead: it does less." in page


def test_there_is_no_page_without_the_reason_why_a_peer_is_ahead(jobs, monkeypatch):
    monkeypatch.delitem(jobs.REASONS, ("checksums", "openmp"), raising=False)
    with pytest.raises(KeyError, match="openmp"):
        jobs.page(run_with(kthreads=2000, openmp=1000))
