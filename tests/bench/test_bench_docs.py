"""The pages of results: that they say what the run says, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from bench_runs import full_run

from kthreads.bench.analysis.summary import RunSummary
from kthreads.bench.model.run import Run

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def results():
    """benchmarks/results.py."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        import results
    finally:
        sys.path.pop(0)
    return results


@pytest.fixture(scope="module")
def kept(results):
    """The run of the documentation."""
    return RunSummary.of(Run.load(results.FOLDER / "run.json.gz"))


def test_the_page_of_results_is_made_of_the_run_that_is_kept(results, kept):
    assert (results.FOLDER / "index.md").read_text() == results.page(kept)


def test_the_table_of_costs_is_made_of_the_run_that_is_kept(results, kept):
    assert results.COST.read_text() == results.cost(kept)


def test_the_run_that_is_kept_was_not_quick_and_not_cut_short(kept):
    assert kept.environment["quick"] is False
    assert kept.notes == []


def test_a_page_counts_each_comparison_once(results):
    page = results.page(RunSummary.of(full_run()))
    counted = page.split(" comparisons")[0].split("\n")[-1]
    assert f"kthreads is ahead in {counted}, a peer in 0, and in 0 there is no winner" in page
