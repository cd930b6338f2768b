"""Runs as JSON and back, one beside another, and as a page."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
from bench_runs import block, full_run

from kthreads.bench.analysis import findings
from kthreads.bench.analysis.compare import changes, differences
from kthreads.bench.analysis.results import FormatError, Run, merged
from kthreads.bench.measure.suites import SUITES, all_peers, name_of
from kthreads.bench.output import plots, report, tables


@pytest.fixture(scope="module")
def run():
    return full_run()


# ---- JSON ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["run.json", "run.json.gz"])
def test_what_was_saved_is_loaded(run, tmp_path, name):
    run.save(tmp_path / name)
    assert Run.load(tmp_path / name) == run


def test_every_sample_is_in_the_file(tmp_path):
    Run(blocks=[block(samples=[3, 1, 2])]).save(tmp_path / "run.json")
    assert json.loads((tmp_path / "run.json").read_text())["blocks"][0]["samples"] == [3, 1, 2]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("no json", "not JSON"),
        ("[]", "no result of kthreads bench"),
        ('{"format": "pyperf"}', "no result of kthreads bench"),
        ('{"format": "kthreads bench", "version": 99}', "of format 99"),
        ('{"format": "kthreads bench", "version": 1}', "damaged"),
        ('{"format": "kthreads bench", "version": 1, "blocks": [{"suite": "x"}]}', "damaged"),
    ],
)
def test_another_file_is_refused(tmp_path, text, reason):
    (tmp_path / "old.json").write_text(text)
    with pytest.raises(FormatError, match=reason):
        Run.load(tmp_path / "old.json")


def test_a_file_that_is_not_compressed_but_says_so_is_refused(tmp_path):
    (tmp_path / "old.json.gz").write_text("{}")
    with pytest.raises(FormatError, match="not JSON"):
        Run.load(tmp_path / "old.json.gz")


# ---- Several runs as one --------------------------------------------------------------------------------------------------


def test_runs_of_other_suites_on_the_same_machine_are_merged():
    one = Run({"cpu": "a"}, blocks=[block("create")])
    two = Run({"cpu": "a", "libraries": {"tbb": "libtbb.so.12"}}, blocks=[block("join")])
    both = merged([one, two])
    assert [each.suite for each in both.blocks] == ["create", "join"]
    assert both.environment == {"cpu": "a", "libraries": {"tbb": "libtbb.so.12"}}


@pytest.mark.parametrize(
    ("other", "reason"),
    [(Run({"cpu": "b"}), "differ in cpu"), (Run({"cpu": "a"}, blocks=[block("create")]), "same suite twice")],
)
def test_what_does_not_belong_together_is_not_merged(other, reason):
    with pytest.raises(FormatError, match=reason):
        merged([Run({"cpu": "a"}, blocks=[block("create")]), other])


# ---- Old and new ------------------------------------------------------------------------------------------------------------


def pair(old, new):
    """What is found of two runs of four processes."""
    before, after = (
        Run(blocks=[block(samples=[time], process=n) for n, time in enumerate(times)]) for times in (old, new)
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
    found = list(changes(full_run(2.0, seed=1), run))
    assert {change.verdict for change in found} == {"worse"}
    assert len(found) == sum(len(rows) for rows in run.places.values())


def test_other_machines_are_told_apart():
    assert differences(Run({"cpu": "new"}), Run({"cpu": "old"})) == ["cpu: old before, new now"]


# ---- Findings ----------------------------------------------------------------------------------------------------------------


def test_each_comparison_is_on_one_side(run):
    found = findings.findings(run)
    behind = [finding for finding in found if finding.side == findings.BEHIND]
    assert behind == []  # ours is the first, and takes the least
    assert all(finding.side == findings.AHEAD for finding in found)


def test_nobody_is_ahead_when_the_interval_spans_one():
    blocks = []
    for process, (ours, theirs) in enumerate([(10, 20), (20, 10), (10, 20), (20, 10)]):
        blocks += [block(samples=[ours], process=process), block(peer="pthread", samples=[theirs], process=process)]
    same = Run(blocks=blocks)
    (finding,) = findings.findings(same)
    assert finding.side == findings.EVEN
    place = finding.place
    assert tables.verdict(same.ratio(place, "clone", "pthread"), "clone", "pthread") == "no winner"


def test_what_is_missing_is_named(run):
    assert any("numba is not installed" in text for text in findings.not_measured(run))


@pytest.mark.parametrize(
    ("ns", "text"), [(0, "0 ns"), (999, "999 ns"), (1500, "1.5 µs"), (2.5e6, "2.5 ms"), (3e9, "3 s")]
)
def test_times_have_the_unit_that_suits_them(ns, text):
    assert tables.time_of(ns) == text


def test_the_shape_of_a_histogram():
    assert tables.shape([100] * 8 + [400] * 4, bins=3) == "█ ▄"


# ---- The page ------------------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """What a browser would fetch, and whether what is opened is closed."""

    VOID = frozenset({"meta", "br", "hr", "img", "input", "link", "path", "line", "rect", "circle"})

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.fetched, self.open = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            if name in ("src", "href", "srcset", "data") and not value.startswith("#"):
                self.fetched.append(value)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        while self.open and self.open[-1] != tag and self.open[-1] in ("path", "circle", "rect"):
            self.open.pop()
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(run):
    return report.html(run)


def test_the_page_needs_nothing_else(page):
    parsed = Page(page)
    assert parsed.fetched == []
    assert not {"script", "link", "iframe", "img"} & set(parsed.tags)
    assert not re.search(r"@import|url\(", page)


def test_the_page_is_well_formed(page):
    assert Page(page).open == []


def test_the_page_has_every_suite_and_names_every_peer(page):
    assert set(SUITES) <= set(Page(page).ids)
    for peer in all_peers():
        assert name_of(peer) in page, peer


def test_the_page_is_for_light_and_dark_and_for_phones(page):
    assert "prefers-color-scheme: dark" in page
    assert "width=device-width" in page


def test_the_page_tells_what_is_uncertain(run):
    noted = Run(run.environment, notes=["interrupted: <so far>"], blocks=run.blocks[:1])
    assert "interrupted: &lt;so far&gt;" in report.html(noted)


def test_the_page_shows_what_changed(run):
    assert "worse" in report.html(full_run(2.0, seed=1), run)


def test_a_run_without_any_sample_has_a_page(run):
    assert "kthreads bench" in report.html(Run(run.environment))


def test_every_peer_has_its_look():
    assert set(report.LOOKS) >= set(all_peers())


@pytest.mark.parametrize(
    ("low", "high", "log", "ticks"),
    [
        (0, 1, False, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 28, False, [0, 5, 10, 15, 20, 25]),
        (1, 1000, True, [1, 3, 10, 30, 100, 300, 1000]),
        (0.5, 2, True, [0.5, 1, 2]),
    ],
)
def test_axes_have_few_and_round_ticks(low, high, log, ticks):
    assert plots.Axis(low, high, 0, 100, log).ticks() == pytest.approx(ticks)


def test_what_is_beyond_an_axis_is_drawn_at_its_end():
    axis = plots.Axis(1, 100, 0, 200)
    assert [axis.at(value) for value in (0.01, 10, 1000)] == pytest.approx([0, 100, 200])
