"""A run as a page."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from bench_runs import full_run

from kthreads.bench.analysis.distribution import histogram
from kthreads.bench.analysis.summary import RunSummary
from kthreads.bench.model.peer_names import name_of
from kthreads.bench.model.run import Run
from kthreads.bench.model.suites import SUITES, all_peers
from kthreads.bench.output import looks, report, tables, units
from kthreads.bench.output.axis import Axis

pytestmark = pytest.mark.any_python


@pytest.fixture(scope="module")
def run():
    return RunSummary.of(full_run())


@pytest.mark.parametrize(
    ("ns", "text"), [(0, "0 ns"), (999, "999 ns"), (1500, "1.5 µs"), (2.5e6, "2.5 ms"), (3e9, "3 s")]
)
def test_times_have_the_unit_that_suits_them(ns, text):
    assert units.time_of(ns) == text


def test_the_shape_of_a_histogram():
    assert tables.shape(histogram([100] * 8 + [400] * 4, bins=3)) == "█ ▄"


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
    return report.page(run)


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
    noted = Run(run.environment, notes=["interrupted: <so far>"], blocks=full_run().blocks[:1])
    assert "interrupted: &lt;so far&gt;" in report.page(RunSummary.of(noted))


def test_the_page_shows_what_changed(run):
    assert "worse" in report.page(RunSummary.of(full_run(2.0, seed=1)), run)


def test_a_run_without_any_sample_has_a_page(run):
    assert "kthreads bench" in report.page(RunSummary(run.environment))


def test_every_peer_has_its_look():
    assert set(looks.LOOKS) >= set(all_peers())


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
    assert Axis(low, high, 0, 100, log).ticks() == pytest.approx(ticks)


def test_what_is_beyond_an_axis_is_drawn_at_its_end():
    axis = Axis(1, 100, 0, 200)
    assert [axis.at(value) for value in (0.01, 10, 1000)] == pytest.approx([0, 100, 200])
