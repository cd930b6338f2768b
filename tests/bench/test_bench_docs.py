"""The pages of results: that they say what the run says, and nothing else."""

from __future__ import annotations

import json
import statistics

import pytest
from bench_runs import ROOT, block, from_benchmarks, full_run

from kthreads.bench.analysis import quantiles_file
from kthreads.bench.analysis.summary import CURVE_END, RunSummary
from kthreads.bench.model.json_file import FormatError
from kthreads.bench.model.run import Run

pytestmark = pytest.mark.any_python


@pytest.fixture(scope="module")
def results():
    """benchmarks/results.py."""
    return from_benchmarks("results")


@pytest.fixture(scope="module")
def kept(results):
    """The run of the documentation, of which the quantiles are kept."""
    return quantiles_file.load(results.QUANTILES)


@pytest.fixture(scope="module")
def peers(kept):
    return [peer for peers in kept.scenarios.values() for peer in peers.values()]


@pytest.mark.parametrize("name", ["docs/results/index.md", "docs/results/report.html", "docs/_cost.md"])
def test_a_page_is_made_of_the_run_that_is_kept(results, kept, name):
    assert (ROOT / name).read_text() == results.pages(kept)[ROOT / name]


def test_the_run_that_is_kept_was_not_quick_and_not_cut_short(kept):
    assert kept.environment["quick"] is False
    assert kept.notes == []


def test_what_is_kept_of_a_run_is_small(results):
    assert results.QUANTILES.stat().st_size < 100_000


def test_the_kept_quantiles_of_all_processes_agree_with_those_of_each(peers):
    for peer in peers:
        each = peer.processes.values()
        assert peer.quantiles.count == sum(process.count for process in each)
        assert peer.quantiles.max == max(process.max for process in each)
        assert min(process.p50 for process in each) <= peer.quantiles.p50 <= max(process.p50 for process in each)


def test_the_kept_quantiles_grow(peers):
    for peer in peers:
        for quantiles in (peer.quantiles, *peer.processes.values()):
            times = (quantiles.p50, quantiles.p90, quantiles.p99, quantiles.p999, quantiles.max)
            assert list(times) == sorted(times)
        assert list(peer.curve) == sorted(peer.curve)


def test_the_kept_medians_of_rounds_are_within_the_samples(peers):
    for peer in peers:
        medians = [median for rounds in peer.rounds.values() for median in rounds.values()]
        assert set(peer.rounds) == set(peer.processes)
        assert peer.curve[0] <= min(medians)
        assert max(medians) <= peer.quantiles.max


def test_each_histogram_has_every_sample(peers):
    assert all(sum(peer.histogram) == peer.quantiles.count for peer in peers)


# What the samples say can be checked only where there are samples: the runs of the next tests are made up.


def test_the_quantiles_of_a_run_are_those_of_its_samples(tmp_path):
    run = full_run()
    run.save(tmp_path / "run.json.gz")
    summary = RunSummary.of(Run.load(tmp_path / "run.json.gz"))
    blocks = [each for each in run.blocks if (each.suite, each.peer) == ("join", "pthread")]
    peer = summary.scenarios[blocks[0].scenario]["pthread"]
    samples = sorted(sample for each in blocks for sample in each.samples)
    hundredths = statistics.quantiles(samples, n=100, method="inclusive")
    for quantile, at in ((peer.quantiles.p50, 49), (peer.quantiles.p90, 89), (peer.quantiles.p99, 98)):
        assert quantile == pytest.approx(hundredths[at], abs=0.06)
    assert (peer.quantiles.count, peer.quantiles.max) == (len(samples), samples[-1])
    assert peer.curve[0] == samples[0]
    assert peer.curve[-1] == pytest.approx(hundredths[round(CURVE_END * 100) - 1], abs=0.6)
    for each in blocks:
        assert peer.rounds[each.process][each.round] == statistics.median(each.samples)


def test_figures_of_blocks_are_by_their_samples_and_times():
    blocks = [
        block(samples=[1, 2, 3], wall_ns=100, cpu_ns=150, faults=3, switches=6, seen=1.0),
        block(samples=[4], round=1, wall_ns=300, cpu_ns=50, faults=1, switches=0, seen=2.0),
    ]
    (peers,) = RunSummary.of(Run(blocks=blocks)).scenarios.values()
    peer = peers["clone"]
    assert (peer.cpu_per_wall, peer.faults, peer.switches, peer.threads) == (0.5, 1.0, 1.5, 1.5)


@pytest.mark.parametrize("name", ["quantiles.json", "quantiles.json.gz"])
def test_quantiles_that_were_saved_are_loaded_and_make_the_same_pages(results, tmp_path, name):
    summary = RunSummary.of(full_run())
    quantiles_file.save(summary, tmp_path / name)
    loaded = quantiles_file.load(tmp_path / name)
    assert loaded == summary
    assert results.pages(loaded) == results.pages(summary)


def test_a_round_that_a_peer_has_not_measured_stays_missing(tmp_path):
    summary = RunSummary.of(Run(blocks=[block(round=number) for number in (0, 2)]))
    quantiles_file.save(summary, tmp_path / "quantiles.json")
    assert quantiles_file.load(tmp_path / "quantiles.json") == summary


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "kthreads bench"}, "no result of kthreads bench quantiles"),
        ({"version": 99}, "of format 99"),
        ({"peers": [{"suite": "create"}]}, "damaged"),
        ({"environment": None, "peers": None}, "damaged"),
    ],
)
def test_another_file_has_no_quantiles(tmp_path, change, reason):
    path = tmp_path / "quantiles.json"
    quantiles_file.save(RunSummary.of(Run(blocks=[block()])), path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FormatError, match=reason):
        quantiles_file.load(path)


def test_a_page_counts_each_comparison_once(results):
    page = results.page(RunSummary.of(full_run()))
    counted = page.split(" comparisons")[0].split("\n")[-1]
    assert f"kthreads is ahead in {counted}, a peer in 0, and in 0 there is no winner" in page
