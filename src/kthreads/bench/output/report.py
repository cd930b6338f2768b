"""A run as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from html import escape
from itertools import groupby

from kthreads.bench.analysis import findings
from kthreads.bench.analysis.compare import changes, differences
from kthreads.bench.analysis.results import Place, Row, Run
from kthreads.bench.analysis.stats import Interval, Summary, quantile
from kthreads.bench.measure.calls import WHY
from kthreads.bench.measure.environment import sentence
from kthreads.bench.measure.suites import SUITES, WORK_NS, name_of
from kthreads.bench.output import plots, tables
from kthreads.bench.output.plots import Look, Series
from kthreads.bench.output.style import STYLE
from kthreads.bench.output.tables import time_of

LOOKS: dict[str, Look] = {
    "clone": Look(0, ours=True),
    "clone3": Look(0, "5 3", ours=True),
    "reuse": Look(1, ours=True),
    "kthreads": Look(0, ours=True),
    "kthreads-reuse": Look(1, ours=True),
    "kthreads-prepared": Look(1, ours=True),
    "kthreads-executor": Look(1, "5 3", ours=True),
    "kthreads-python": Look(0, "5 3", ours=True),
    "pthread": Look(2),
    "pthread-default": Look(2, "6 3"),
    "pthread-fresh": Look(2, "2 2"),
    "thrd": Look(3),
    "std-thread": Look(4),
    "bare": Look(6),
    "bare3": Look(6, "5 3"),
    "fork": Look(5),
    "vfork-exec": Look(5, "5 3"),
    "libgomp": Look(3),
    "libomp": Look(4),
    "pthreadpool": Look(7),
    "tbb": Look(5),
    "condvar": Look(6),
    "threading": Look(2),
    "_thread": Look(2, "5 3"),
    "ThreadPoolExecutor": Look(2),
    "ThreadPool": Look(3),
    "joblib": Look(4),
    "numba": Look(7),
}

CURVE_POINTS = 60
PROCESSES = {"fork", "vfork-exec"}  # so much slower that threads would look alike beside them: in ratios alone
MEMORY_KINDS = ("resident", "page tables", "kernel stacks")
Rows = dict[str, Row]


def _look(suite: str, peer: str) -> Look:
    """Where kthreads is a pool, its threads without one are drawn otherwise than it."""
    return Look(1, "5 3", ours=True) if SUITES[suite].ours == "kthreads" and peer == "clone" else LOOKS[peer]


# ---- Pieces of the page ------------------------------------------------------------------------------------------------


def _figure(title: str, svg: str, note: str = "") -> str:
    below = f"<p class='note'>{note}</p>" if note else ""
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}{below}</figure>"


def _legend(suite: str, peers: Iterable[str]) -> str:
    parts = []
    for peer in peers:
        line = f'<svg viewBox="0 0 26 8"><line x1="1" y1="4" x2="25" y2="4" {_look(suite, peer).attributes}/></svg>'
        parts.append(f"<span>{line}{escape(name_of(peer))}</span>")
    return f'<div class="legend">{"".join(parts)}</div>'


def _grid(figures: str) -> str:
    return f'<div class="figures">{figures}</div>'


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _items(texts: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def _in_order(suite: str, rows: Rows) -> dict[str, Row]:
    return {peer: rows[peer] for peer in SUITES[suite].peers if peer in rows}


# ---- Plots of one place ------------------------------------------------------------------------------------------------


def _curve(row: Row) -> list[plots.Point]:
    """Quantiles up to the 98th: beyond it single samples would set the scale. Overheads that the clock cannot tell
    from nothing are at 10 ns."""
    ordered = sorted(row.samples)
    parts = [0.98 * number / CURVE_POINTS for number in range(CURVE_POINTS + 1)]
    return [(max(10.0, quantile(ordered, part)), part) for part in parts]


def _place_name(place: Place) -> str:
    parts = [place.case, "pinned" if place.pinned else "not pinned" if SUITES[place.suite].pins else ""]
    return ", ".join(part for part in parts if part) or "all"


def _of_place(place: Place, rows: Rows, run: Run) -> str:
    series = [
        Series(name_of(peer), _look(place.suite, peer), _curve(row))
        for peer, row in rows.items()
        if peer not in PROCESSES
    ]
    title = _place_name(place)
    found = _figure(title, plots.distribution(series, time_of, f"{tables.heading(place)}: distribution"))
    ours = SUITES[place.suite].ours
    compared: list[tuple[str, Look, Interval]] = []
    for peer in rows:
        ratio = run.ratio(place, ours, peer)
        if ratio is not None:
            compared.append((name_of(peer), _look(place.suite, peer), ratio))
    if compared:
        text = f"{name_of(ours)} / peer, {title}"
        found += _figure(text, plots.ratios(compared, f"{tables.heading(place)}: ratios"))
    return found


def _numbers(places: list[tuple[Place, Rows]], run: Run) -> str:
    header = ("", "peer", "p50", "p90", "p99", "p99.9", "max", "CPU/wall", "faults", "switches", "threads", "ratio")
    body = []
    for place, rows in places:
        ours = SUITES[place.suite].ours
        for peer, row in rows.items():
            summary = Summary.of(row.samples)
            times = (summary.p50, summary.p90, summary.p99, summary.p999, summary.max)
            ratio = run.ratio(place, ours, peer)
            seen = f"{row.seen:.2f}" if row.seen else ""
            each = (f"{row.burnt:.2f}", f"{row.each('faults'):.1f}", f"{row.each('switches'):.1f}", seen)
            body.append((_place_name(place), name_of(peer), *map(time_of, times), *each, str(ratio or "")))
    return f"<details><summary>All figures</summary>{_table(header, body)}</details>"


# ---- Plots over the cases of a suite -----------------------------------------------------------------------------------


def _over(places: list[tuple[Place, Rows]], value: Callable[[Place, Row], plots.Point]) -> list[Series]:
    """A series for each peer: a point for each case."""
    peers = dict.fromkeys(peer for _, rows in places for peer in rows)
    series = []
    for peer in peers:
        here = [(place, rows[peer]) for place, rows in places if peer in rows]
        points = [value(place, row) for place, row in here]
        texts = [
            f"{name_of(peer)}, {place.case}: p50 {time_of(Summary.of(row.samples).p50)}, {row.burnt:.2f} CPUs"
            for place, row in here
        ]
        series.append(Series(name_of(peer), _look(here[0][0].suite, peer), points, texts))
    return series


def _p50(row: Row) -> float:
    return max(100.0, Summary.of(row.samples).p50)


def _gap_sweep(places: list[tuple[Place, Rows]]) -> str:
    loose = [(place, rows) for place, rows in places if not place.pinned]
    by_cpu = plots.curves(
        _over(loose, lambda place, row: (row.burnt, _p50(row))),
        "Overhead against CPU burnt",
        x_label="CPU seconds per wall second",
        x_format="{:g}".format,
        scatter=True,
        y_label="overhead, p50",
        y_format=time_of,
    )
    by_gap = plots.curves(
        _over(loose, lambda place, row: (max(place.value, 2000.0), _p50(row))),
        "Overhead over the gap",
        x_label="gap between two regions",
        x_format=lambda ns: "none" if ns <= 2000 else time_of(ns),
        y_label="overhead, p50",
        y_format=time_of,
    )
    note = "The larger the dot, the longer the gap. Lower left is better: fast, and an idle machine in between."
    return _figure("Overhead against CPU burnt", by_cpu, note) + _figure("Overhead over the gap", by_gap)


def _scaling(places: list[tuple[Place, Rows]], run: Run) -> str:
    loose = [(place, rows) for place, rows in places if not place.pinned]
    cpus = len(run.environment["affinity"])
    is_region = loose[0][0].suite == "region-scale" if loose else False
    threads = sorted({place.value for place, _ in loose})
    ideal = [(count, WORK_NS * (count / cpus - 1)) for count in threads if count > cpus] if is_region else []
    plot = plots.curves(
        _over(loose, lambda place, row: (place.value, _p50(row))),
        "Time over threads",
        x_label=f"threads, on {cpus} CPUs",
        x_format="{:g}".format,
        y_label="p50",
        y_format=time_of,
        ideal=ideal,
    )
    note = "Grey: what the work of more threads than CPUs takes in any case." if ideal else ""
    return _figure("Over threads", plot, note)


def _memory(places: list[tuple[Place, Rows]]) -> str:
    found = ""
    for place, rows in places[-1:]:
        parts = [
            (name_of(peer), [max(0.0, row.more(kind) or 0.0) / 1024 for kind in MEMORY_KINDS])
            for peer, row in rows.items()
        ]
        plot = plots.bars(parts, MEMORY_KINDS, "Memory a thread", "{:.3g} KiB".format)
        swatches = "".join(
            f'<span><i style="background: var(--s{number})"></i>{kind}</span>'
            for number, kind in enumerate(MEMORY_KINDS)
        )
        found += (
            _figure(f"Memory of a thread that waits, of {place.case}", plot) + f'<div class="legend">{swatches}</div>'
        )
    header = ("", "peer", "start", "stop", *MEMORY_KINDS, "cgroup", "machine")
    body = []
    for place, rows in places:
        for peer, row in rows.items():
            sizes = [row.more(kind) for kind in (*MEMORY_KINDS, "cgroup", "machine")]
            texts = ["" if size is None else f"{size / 1024:.1f} KiB" for size in sizes]
            times = (time_of(_p50(row)), time_of(row.more("stop ns") or 0))
            body.append((place.case, name_of(peer), *times, *texts))
    return f"{found}<details open><summary>All figures, a thread</summary>{_table(header, body)}</details>"


# ---- Sections ----------------------------------------------------------------------------------------------------------


def _suite(name: str, places: list[tuple[Place, Rows]], run: Run) -> str:
    suite = SUITES[name]
    peers = [peer for peer in suite.peers if any(peer in rows for _, rows in places)]
    parts = [f'<section id="{name}"><h2>{escape(suite.title)}</h2>']
    if suite.family == "alive":
        return "".join([*parts, _memory(places), "</section>"])
    parts.append(_legend(name, peers))
    if name == "region":
        parts.append(_grid(_gap_sweep(places)))
    if len({place.value for place, _ in places}) > 1 and name in ("creators", "region-scale"):
        parts.append(_grid(_scaling(places, run)))
    parts += [_grid(_of_place(place, rows, run)) for place, rows in places]
    parts += [_numbers(places, run), "</section>"]
    return "".join(parts)


def _suites(run: Run) -> Iterator[str]:
    all_places = [(place, _in_order(place.suite, rows)) for place, rows in run.places.items()]
    order = list(SUITES)
    all_places.sort(key=lambda item: (order.index(item[0].suite), item[0].value, item[0].pinned))
    for name, places in groupby(all_places, key=lambda item: item[0].suite):
        yield _suite(name, list(places), run)


def _syscalls(run: Run) -> str:
    if not run.syscalls:
        return ""
    names = dict.fromkeys(name for counts in run.syscalls.values() for name in counts)
    rows = [
        (name, *(f"{counts[name]:g}" if name in counts else "·" for counts in run.syscalls.values()), WHY.get(name, ""))
        for name in names
    ]
    table = _table(("call", *map(name_of, run.syscalls), "what for"), rows)
    return f'<section id="syscalls"><h2>System calls of a create and join, both threads</h2>{table}</section>'


def _verdicts(run: Run) -> str:
    found = findings.findings(run)
    sides = (
        (findings.AHEAD, "Where kthreads is ahead"),
        (findings.EVEN, "Where there is no winner"),
        (findings.BEHIND, "Where a peer is ahead"),
    )
    parts = []
    for side, title in sides:
        texts = findings.sentences(found, side)
        count = sum(finding.side == side for finding in found)
        parts.append(
            f'<details class="{side}"><summary><b>{count}</b> {title.lower()}</summary>{_items(texts)}</details>'
        )
    note = f"Of {len(found)} comparisons, each a ratio of times with its 95 % interval: below 1, kthreads takes less."
    return f'<section id="findings"><p>{note}</p><div class="verdicts">{"".join(parts)}</div></section>'


def _changes(run: Run, old: Run | None) -> str:
    if old is None:
        return ""
    found = [change for change in changes(run, old) if change.verdict != "same"]
    rows = [(tables.heading(c.place), name_of(c.peer), str(c.ratio), c.verdict) for c in found]
    texts = _items(differences(run, old))
    body = _table(("what", "peer", "new / old", ""), rows) if rows else "<p>Nothing changed beyond the noise.</p>"
    return f'<section id="changes"><h2>Against the run of {escape(str(old.environment.get("date", "")))}</h2>{texts}{body}</section>'


def _environment(run: Run) -> str:
    rows = [(str(key), ", ".join(map(str, value.items())) if isinstance(value, dict) else str(value))
            for key, value in run.environment.items()]  # fmt: skip
    missing = _items(findings.not_measured(run))
    return (
        f'<section id="environment"><h2>Where it was measured</h2>{_table(("", ""), rows)}'
        f"<h2>What was not measured</h2>{missing}</section>"
    )


def html(run: Run, old: Run | None = None) -> str:
    """The page, and what changed since an old run."""
    notes = "".join(f'<p class="warning">{escape(note)}</p>' for note in run.notes)
    links = " · ".join(f'<a href="#{name}">{name}</a>' for name in dict.fromkeys(place.suite for place in run.places))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
        f"<title>kthreads bench</title><style>{STYLE}</style></head><body><main>"
        f"<h1>kthreads bench</h1><p>{escape(sentence(run.environment))}.</p>{notes}{_verdicts(run)}{_changes(run, old)}"
        f"<nav>{links}</nav>{''.join(_suites(run))}{_syscalls(run)}{_environment(run)}</main></body></html>\n"
    )
