"""The kinds of plots, as SVG.

They are drawn by hand (here, in svg.py and in axis.py: 250 lines) since two libraries that are well kept came out behind, on
the 65 plots of the run in docs/results. matplotlib 3.11 makes 16.9 kB of SVG a plot, these 4.2 kB, so that the report has
1,191 kB in place of 366 (compressed 159 in place of 57), in 5 s more, by packages that take 170 MB; its colours are fixed
until the text of the SVG is edited, only whole plots have titles, and a logarithmic axis of less than a decade has one tick.
Vega-Lite makes 26 kB a plot by vl-convert (84 MB), in fixed colours as well; drawn in the browser, its scripts add 905 kB to
the page, or it needs a network, and without JavaScript there are no plots at all. Here each curve and each dot has a title
that is shown when it is pointed at, each plot a label for screen readers and a table of its figures below, all colours follow
the page's, light or dark, and nothing has to be installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kthreads.bench.analysis.ratios import Interval
from kthreads.bench.output import svg
from kthreads.bench.output.axis import Axis
from kthreads.bench.output.looks import Look
from kthreads.bench.output.svg import WIDTH, Point

LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 40


@dataclass(frozen=True)
class Series:
    """The points of one peer.

    Attributes:
        texts: one for each point, which is shown when it is pointed at; or none.
    """

    name: str
    look: Look
    points: Sequence[Point]
    texts: Sequence[str] = ()


def _horizontal(axis: Axis, top: float, bottom: float, ticks: Sequence[float] | None = None) -> str:
    """The grid and the labels of an axis from left to right."""
    parts = []
    for tick in axis.ticks() if ticks is None else ticks:
        x = axis.at(tick)
        parts += [svg.line(x, top, x, bottom, 'class="grid"'), svg.text(x, bottom + 14, axis.format(tick))]
    return "".join(parts) + svg.text((axis.begin + axis.end) / 2, bottom + 30, axis.label, kind="label")


def _vertical(axis: Axis, left: float, right: float) -> str:
    """The grid and the labels of an axis from bottom to top."""
    parts = []
    for tick in axis.ticks():
        y = axis.at(tick)
        parts += [svg.line(left, y, right, y, 'class="grid"'), svg.text(left - 5, y + 4, axis.format(tick), "end")]
    return "".join(parts) + svg.text(2, TOP - 2, axis.label, "start", "label")


def _ours_last(series: Sequence[Series]) -> list[Series]:
    """The series with those of kthreads last, so that they are drawn above the others."""
    return sorted(series, key=lambda each: each.look.ours)


def _curve(points: Sequence[Point], look: Look, title: str) -> str:
    return svg.path(points, f'fill="none" {look.stroke}', title)


def distribution(series: Sequence[Series], format: Callable[[float], str], title: str) -> str:
    """For each time, the part of the samples that took no longer: a curve a peer, over points (time, part)."""
    height = 236
    bottom = height - 24
    x = Axis.over((value for each in series for value, _ in each.points), LEFT, WIDTH - RIGHT, format=format)
    y = Axis(0, 1, bottom, TOP + 8, log=False, format="{:.0%}".format, label="samples at or below")
    lines = [_curve([(x.at(a), y.at(b)) for a, b in each.points], each.look, each.name) for each in _ours_last(series)]
    return svg.drawing(height, [_horizontal(x, TOP + 8, bottom), _vertical(y, LEFT, WIDTH - RIGHT), *lines], title)


def curves(
    series: Sequence[Series],
    title: str,
    *,
    x_label: str,
    x_format: Callable[[float], str],
    y_label: str,
    y_format: Callable[[float], str],
    scatter: bool = False,
    ideal: Sequence[Point] = (),
) -> str:
    """The points of each peer, joined in their order.

    Args:
        scatter: over a linear axis, with dots that grow from the first point to the last; else over a logarithmic axis with
            a tick at each value of the points.
        ideal: points of a line to compare with.
    """
    height = 270
    bottom = height - BOTTOM
    xs = [value for each in series for value, _ in each.points]
    ys = [value for each in series for _, value in each.points]
    x = Axis.over(xs, LEFT + 8, WIDTH - RIGHT, log=not scatter, label=x_label, format=x_format)
    y = Axis.over(ys, bottom, TOP + 8, label=y_label, format=y_format)
    parts = [_horizontal(x, TOP + 8, bottom, None if scatter else sorted(set(xs))), _vertical(y, LEFT, WIDTH - RIGHT)]
    if points := [(x.at(a), y.at(b)) for a, b in ideal if b > 0]:
        parts.append(svg.path(points, 'class="ideal"', "ideal"))
    for each in _ours_last(series):
        pixels = [(x.at(a), y.at(b)) for a, b in each.points]
        curve = _curve(pixels, each.look, each.name)
        parts.append(f'<g class="faint">{curve}</g>' if scatter else curve)
        for number, ((a, b), text) in enumerate(zip(pixels, each.texts, strict=True)):
            parts.append(svg.circle(a, b, 3 + 1.3 * number if scatter else 3.5, each.look.fill, text))
    return svg.drawing(height, parts, title)


def ratios(rows: Sequence[tuple[str, Look, Interval]], title: str) -> str:
    """The ratio kthreads / peer with its interval, a row a peer; a hollow dot where the interval spans 1."""
    row, top = 34, 6
    height = top + row * len(rows) + 36
    bottom = height - 34
    bounds = [value for _, _, ratio in rows for value in (ratio.low, ratio.high, 1.0)]
    x = Axis.over(bounds, 12, WIDTH - 12, label="◀ kthreads takes less · time of kthreads / time of peer · more ▶")
    parts = [_horizontal(x, top, bottom), svg.line(x.at(1), top, x.at(1), bottom, 'class="one"')]
    for number, (name, look, ratio) in enumerate(rows):
        y = top + row * number + 24
        color = f"var(--c{look.color})"
        attributes = f'class="{"even" if ratio.spans_one else "sure"}" stroke="{color}" style="--dot: {color}"'
        parts += [
            svg.text(12, y - 10, name, "start", "name"),
            svg.text(WIDTH - 12, y - 10, f"{ratio.value:{'.0f' if ratio.value >= 10 else '.2g'}}", "end", "name"),
            svg.line(x.at(ratio.low), y, x.at(ratio.high), y, f'stroke="{color}" stroke-width="2"'),
            svg.circle(x.at(ratio.value), y, 4.5, attributes, f"{name}: {ratio}"),
        ]
    return svg.drawing(height, parts, title)


def bars(
    rows: Sequence[tuple[str, Sequence[float]]],
    kinds: Sequence[str],
    title: str,
    format: Callable[[float], str],
) -> str:
    """A bar a row, made of a part for each kind. The colours of the parts are the page's s0, s1 and so on."""
    row, top = 40, 4
    height = top + row * len(rows) + 34
    bottom = height - 34
    x = Axis.over((sum(parts) for _, parts in rows), 12, WIDTH - 12, log=False, format=format)
    parts = [_horizontal(x, top, bottom)]
    for number, (name, values) in enumerate(rows):
        y, at = top + row * number, x.low
        parts.append(svg.text(12, y + 14, name, "start", "name"))
        parts.append(svg.text(WIDTH - 12, y + 14, format(sum(values)), "end", "name"))
        for part, value in enumerate(values):
            begin, at = x.at(at), at + max(0.0, value)
            title_of_part = f"{name}, {kinds[part]}: {format(value)}"
            parts.append(svg.bar(begin, y + 19, max(0.0, x.at(at) - begin), f'fill="var(--s{part})"', title_of_part))
    return svg.drawing(height, parts, title)
