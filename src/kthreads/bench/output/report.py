"""A run as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from itertools import groupby

from kthreads.bench.analysis import findings
from kthreads.bench.analysis.compare import changes, differences
from kthreads.bench.analysis.summary import RunSummary
from kthreads.bench.measure.environment import sentence
from kthreads.bench.measure.syscalls import PURPOSES
from kthreads.bench.model.peer_names import name_of
from kthreads.bench.output import figures, html
from kthreads.bench.output.style import STYLE


def page(run: RunSummary, old: RunSummary | None = None) -> str:
    """The page of a run.

    Args:
        old: a run to compare with; the page then says what has changed since.
    """
    notes = "".join(f'<p class="warning">{escape(note)}</p>' for note in run.notes)
    names = dict.fromkeys(scenario.suite for scenario in run.scenarios)
    links = " · ".join(f'<a href="#{name}">{name}</a>' for name in names)
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>kthreads bench</title><style>{STYLE}</style></head><body><main>"
        f"<h1>kthreads bench</h1><p>{escape(sentence(run.environment))}.</p>{notes}{_findings(run)}{_changes(run, old)}"
        f"<nav>{links}</nav>{''.join(_suites(run))}{_syscalls(run)}{_environment(run)}</main></body></html>\n"
    )


def _findings(run: RunSummary) -> str:
    found = findings.findings(run)
    sides = (
        (findings.AHEAD, "where kthreads is ahead"),
        (findings.EVEN, "where there is no winner"),
        (findings.BEHIND, "where a peer is ahead"),
    )
    parts = []
    for side, title in sides:
        texts = html.items(findings.sentences(found, side))
        count = sum(finding.side == side for finding in found)
        parts.append(f'<details class="{side}"><summary><b>{count}</b> {title}</summary>{texts}</details>')
    note = f"Of {len(found)} comparisons, each a ratio of times with its 95 % interval: below 1, kthreads takes less."
    return f'<section id="findings"><p>{note}</p><div class="verdicts">{"".join(parts)}</div></section>'


def _changes(run: RunSummary, old: RunSummary | None) -> str:
    if old is None:
        return ""
    found = [change for change in changes(run, old) if change.verdict != "same"]
    rows = [(each.scenario.title, name_of(each.peer), str(each.ratio), each.verdict) for each in found]
    table = html.table(("what", "peer", "new / old", ""), rows)
    body = table if rows else "<p>Nothing changed beyond the noise.</p>"
    title = f"Against the run of {old.environment.get('date', '')}"
    return html.section("changes", title, html.items(differences(run, old)) + body)


def _suites(run: RunSummary) -> Iterator[str]:
    for name, scenarios in groupby(run.in_order(), key=lambda each: each[0].suite):
        yield figures.of_suite(name, list(scenarios), run)


def _syscalls(run: RunSummary) -> str:
    if not run.syscalls:
        return ""
    rows = [
        (
            name,
            *(f"{counts[name]:g}" if name in counts else "·" for counts in run.syscalls.values()),
            PURPOSES.get(name, ""),
        )
        for name in run.syscall_names
    ]
    table = html.table(("call", *map(name_of, run.syscalls), "what for"), rows)
    return html.section("syscalls", "System calls of a create and join, both threads", table)


def _environment(run: RunSummary) -> str:
    rows = [
        (key, ", ".join(map(str, value.items())) if isinstance(value, dict) else str(value))
        for key, value in run.environment.items()
    ]
    missing = f"<h2>What was not measured</h2>{html.items(findings.not_measured(run))}"
    return html.section("environment", "Where it was measured", html.table(("", ""), rows) + missing)
