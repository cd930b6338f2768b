"""The table of docs/explanation/cost.md, docs/_cost.md."""

from __future__ import annotations

from markdown_table import table

from kthreads.bench.analysis.summary import RunSummary
from kthreads.bench.measure.environment import sentence
from kthreads.bench.model.peer_names import name_of
from kthreads.bench.output.units import time_of

AGAINST = {
    "create-join": "pthread",
    "region": "libgomp",
    "py-start": "threading",
    "py-submit": "ThreadPoolExecutor",
}
"""The suites of the table, and the peer that each is compared with."""


def cost(run: RunSummary) -> str:
    """The text of the table: medians, and their ratios."""
    lines = [f"{sentence(run.environment)}.", ""]
    rows = []
    for scenario, peers in run.in_order():
        if scenario.suite in AGAINST:
            against = AGAINST[scenario.suite]
            for peer, summary in peers.items():
                ratio = run.ratio(scenario, peer, against)
                of = "" if ratio is None else f"{ratio} of {name_of(against)}"
                rows.append((scenario.title, name_of(peer), time_of(summary.quantiles.p50), of))
    return "\n".join([*lines, *table(("what", "by", "median", "ratio"), rows)]) + "\n"
