"""The statistics of benchmarks, against answers that are known."""

from __future__ import annotations

import random

import pytest

from kthreads.bench.analysis.distribution import Quantiles, histogram, quantile
from kthreads.bench.analysis.ratios import Interval, paired_ratio, ratio_of_medians

pytestmark = pytest.mark.any_python


def rounds(*processes):
    """Values by process and round."""
    return {number: dict(enumerate(values)) for number, values in enumerate(processes)}


@pytest.mark.parametrize(("q", "value"), [(0, 1), (0.25, 2), (0.5, 3), (0.9, 4.6), (1, 5)])
def test_a_quantile_lies_between_the_nearest_values(q, value):
    assert quantile([1, 2, 3, 4, 5], q) == pytest.approx(value)


def test_there_is_no_quantile_of_nothing():
    with pytest.raises(ValueError, match="no samples"):
        quantile([], 0.5)


def test_a_summary_of_a_thousand_and_one():
    assert Quantiles.of(range(1000, -1, -1)) == Quantiles(1001, 500, 900, 990, 999, 1000)


def test_a_histogram_has_bins_of_equal_width_on_a_logarithmic_scale():
    assert histogram([1, 2, 3, 5, 9, 16], bins=4) == [2, 1, 1, 2]


def test_what_is_beyond_a_histogram_is_in_its_ends():
    counts = histogram([-5, *[100] * 200, *[200] * 200, 10_000], bins=2)
    assert counts == [201, 201]


def test_samples_that_are_alike_are_in_one_bin():
    assert sorted(histogram([7, 7, 7], bins=3)) == [0, 0, 3]


def test_half_the_time_in_each_pair_is_a_ratio_of_a_half():
    theirs = rounds([10, 20, 40], [80, 160, 320])
    ours = {process: {number: value / 2 for number, value in each.items()} for process, each in theirs.items()}
    assert paired_ratio(ours, theirs) == Interval(0.5, 0.5, 0.5)


def test_only_what_ran_in_the_same_round_is_a_pair():
    assert paired_ratio({0: {0: 1.0, 7: 900.0}}, {0: {0: 2.0, 1: 1.0}, 1: {7: 1.0}}) == Interval(0.5, 0.5, 0.5)


def test_without_a_pair_there_is_no_ratio():
    assert paired_ratio({0: {0: 1.0}}, {1: {0: 1.0}}) is None
    assert ratio_of_medians({}, {0: {0: 1.0}}) is None


def test_what_the_clock_cannot_tell_from_nothing_counts_as_its_floor():
    assert paired_ratio(rounds([-3.0]), rounds([0.0]), floor=20) == Interval(1, 1, 1)


def noisy(seed, factor):
    chance = random.Random(seed)
    return rounds(*([factor * chance.lognormvariate(0, 0.05) for _ in range(12)] for _ in range(5)))


def test_a_tenth_less_is_found_within_noise_of_a_twentieth():
    ratio = paired_ratio(noisy(1, 0.9), noisy(2, 1.0))
    assert ratio.low < 0.9 < ratio.high < 1


def test_there_is_no_winner_between_equals():
    assert paired_ratio(noisy(3, 1.0), noisy(4, 1.0)).spans_one


def test_processes_that_disagree_widen_the_interval():
    """Rounds within a process are alike: it is the processes that count."""
    agree = paired_ratio(rounds(*[[0.9] * 50] * 4), rounds(*[[1.0] * 50] * 4))
    disagree = paired_ratio(rounds([0.6] * 50, [1.2] * 50, [0.6] * 50, [1.2] * 50), rounds(*[[1.0] * 50] * 4))
    assert agree.low == agree.high
    assert disagree.spans_one


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    found = 0
    for seed in range(100):
        ratio = paired_ratio(noisy(2 * seed, 1.0), noisy(2 * seed + 1, 1.0))
        found += ratio.spans_one
    assert found >= 85


def test_runs_of_different_times_are_compared_without_pairs():
    ratio = ratio_of_medians(rounds([10, 11, 12], [10, 11, 12]), rounds([20, 22, 24, 22]))
    assert ratio.value == pytest.approx(0.5)
    assert ratio.low < 0.5 < ratio.high < 1


def test_the_same_seed_gives_the_same_interval():
    assert paired_ratio(noisy(1, 1), noisy(2, 1), seed=5) == paired_ratio(noisy(1, 1), noisy(2, 1), seed=5)
