"""Plots as SVG that takes its colours from the page: light, dark, and as narrow as a phone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from kthreads.bench.analysis.stats import Interval

WIDTH = 400
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 12, 40

Point = tuple[float, float]


@dataclass(frozen=True)
class Look:
    """How a peer is drawn: a colour of the page's, by number, dashed or not, and whether it is ours."""

    color: int
    dash: str = ""
    ours: bool = False

    @property
    def attributes(self) -> str:
        dash = f' stroke-dasharray="{self.dash}"' if self.dash else ""
        return f'stroke="var(--c{self.color})"{dash} stroke-width="{2.6 if self.ours else 1.5}"'

    @property
    def fill(self) -> str:
        return f'fill="var(--c{self.color})"'


@dataclass(frozen=True)
class Series:
    """Points of one peer; `texts` are shown when they are pointed at."""

    name: str
    look: Look
    points: Sequence[Point]
    texts: Sequence[str] = ()


@dataclass(frozen=True)
class Axis:
    """From a value to a place between two pixels; logarithmic or not."""

    low: float
    high: float
    begin: float
    end: float
    log: bool = True
    label: str = ""
    format: Callable[[float], str] = "{:g}".format

    @classmethod
    def over(
        cls,
        values: Iterable[float],
        begin: float,
        end: float,
        *,
        log: bool = True,
        label: str = "",
        format: Callable[[float], str] = "{:g}".format,
    ) -> Axis:
        """An axis on which all values are, with some room."""
        found = [value for value in values if value > 0 or not log] or [1.0]
        low, high = min(found), max(found)
        if log:
            low, high = low / 1.12, high * 1.12
            if high / low < 4:  # a decade's ticks need room
                middle = math.sqrt(low * high)
                low, high = middle / 2, middle * 2
        else:
            low, high = min(0.0, low), high * 1.05 or 1.0
        return cls(low, high, begin, end, log, label, format)

    def at(self, value: float) -> float:
        """The pixel of a value; those beyond the axis are at its ends."""
        value = min(max(value, self.low), self.high)
        low, high, value = (math.log(each) if self.log else each for each in (self.low, self.high, value))
        part = (value - low) / (high - low)
        return self.begin + part * (self.end - self.begin)

    def ticks(self) -> list[float]:
        """Round values, seven or so at most."""
        if not self.log:
            rough = (self.high - self.low) / 6
            power = 10 ** math.floor(math.log10(rough))
            step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough)
            return [number * step for number in range(math.ceil(self.low / step), math.floor(self.high / step) + 1)]
        decades = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            found = [step * 10.0**decade for decade in decades for step in steps]
            found = [value for value in found if self.low <= value <= self.high]
            if len(found) <= 7:
                break
        return found[:: len(found) // 8 + 1]


# ---- Pieces --------------------------------------------------------------------------------------------------------------


def _svg(height: float, parts: Iterable[str], title: str) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title, quote=True)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )


def _text(x: float, y: float, text: str, anchor: str = "middle", kind: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, attributes: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {attributes}/>'


def _horizontal(axis: Axis, top: float, bottom: float, ticks: Sequence[float] | None = None) -> str:
    parts = []
    for tick in axis.ticks() if ticks is None else ticks:
        x = axis.at(tick)
        parts += [_line(x, top, x, bottom, 'class="grid"'), _text(x, bottom + 14, axis.format(tick))]
    return "".join(parts) + _text((axis.begin + axis.end) / 2, bottom + 30, axis.label, kind="label")


def _vertical(axis: Axis, left: float, right: float) -> str:
    parts = []
    for tick in axis.ticks():
        y = axis.at(tick)
        parts += [_line(left, y, right, y, 'class="grid"'), _text(left - 5, y + 4, axis.format(tick), "end")]
    return "".join(parts) + _text(2, TOP - 2, axis.label, "start", "label")


def _path(points: Iterable[Point], look: Look, title: str) -> str:
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{line}" fill="none" {look.attributes}><title>{escape(title)}</title></path>'


def _dot(x: float, y: float, look: Look, title: str, radius: float = 4) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" {look.fill}><title>{escape(title)}</title></circle>'


def _last_is_ours(series: Sequence[Series]) -> list[Series]:
    """Ours are drawn last, above the others."""
    return sorted(series, key=lambda each: each.look.ours)


# ---- Plots ---------------------------------------------------------------------------------------------------------------


def distribution(series: Sequence[Series], format: Callable[[float], str], title: str) -> str:
    """What part of the samples took no longer: one curve a peer, over (time, part)."""
    height = 236
    bottom = height - 24
    x = Axis.over((value for each in series for value, _ in each.points), LEFT, WIDTH - RIGHT, format=format)
    y = Axis(0, 1, bottom, TOP + 8, log=False, format="{:.0%}".format, label="samples at or below")
    lines = [
        _path([(x.at(a), y.at(b)) for a, b in each.points], each.look, each.name) for each in _last_is_ours(series)
    ]
    return _svg(height, [_horizontal(x, TOP + 8, bottom), _vertical(y, LEFT, WIDTH - RIGHT), *lines], title)


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
    """The points of each peer, joined in their order, and what would be ideal.

    Over a logarithmic axis with a tick at each place that was measured; as a scatter plot over a linear one, where the dots
    grow from the first point to the last.
    """
    height = 270
    bottom = height - BOTTOM
    xs = [value for each in series for value, _ in each.points]
    ys = [value for each in series for _, value in each.points]
    x = Axis.over(xs, LEFT + 8, WIDTH - RIGHT, log=not scatter, label=x_label, format=x_format)
    y = Axis.over(ys, bottom, TOP + 8, label=y_label, format=y_format)
    parts = [_horizontal(x, TOP + 8, bottom, None if scatter else sorted(set(xs))), _vertical(y, LEFT, WIDTH - RIGHT)]
    if points := [(x.at(a), y.at(b)) for a, b in ideal if b > 0]:
        line = "L".join(f"{a:.1f} {b:.1f}" for a, b in points)
        parts.append(f'<path d="M{line}" class="ideal"><title>ideal</title></path>')
    for each in _last_is_ours(series):
        places = [(x.at(a), y.at(b)) for a, b in each.points]
        path = _path(places, each.look, each.name)
        parts.append(f'<g class="faint">{path}</g>' if scatter else path)
        for number, ((a, b), text) in enumerate(zip(places, each.texts, strict=True)):
            parts.append(_dot(a, b, each.look, text, 3 + 1.3 * number if scatter else 3.5))
    return _svg(height, parts, title)


def ratios(rows: Sequence[tuple[str, Look, Interval]], title: str) -> str:
    """Ours / peer with its interval, a row a peer; hollow where there is no winner."""
    row, top = 34, 6
    height = top + row * len(rows) + 36
    bottom = height - 34
    bounds = [value for _, _, ratio in rows for value in (ratio.low, ratio.high, 1.0)]
    x = Axis.over(bounds, 12, WIDTH - 12, label="◀ kthreads takes less · time of kthreads / time of peer · more ▶")
    parts = [_horizontal(x, top, bottom), _line(x.at(1), top, x.at(1), bottom, 'class="one"')]
    for number, (name, look, ratio) in enumerate(rows):
        y = top + row * number + 24
        kind = "even" if ratio.spans_one else "sure"
        parts += [
            _text(12, y - 10, name, "start", "name"),
            _text(WIDTH - 12, y - 10, f"{ratio.value:{'.0f' if ratio.value >= 10 else '.2g'}}", "end", "name"),
            _line(x.at(ratio.low), y, x.at(ratio.high), y, f'stroke="var(--c{look.color})" stroke-width="2"'),
            f'<circle cx="{x.at(ratio.value):.1f}" cy="{y}" r="4.5" class="{kind}" stroke="var(--c{look.color})" '
            f'style="--dot: var(--c{look.color})"><title>{escape(name)}: {ratio}</title></circle>',
        ]
    return _svg(height, parts, title)


def bars(
    rows: Sequence[tuple[str, Sequence[float]]],
    kinds: Sequence[str],
    title: str,
    format: Callable[[float], str],
) -> str:
    """A bar a row, made of parts, whose colours are the page's s0, s1 and so on."""
    row, top = 40, 4
    height = top + row * len(rows) + 34
    bottom = height - 34
    x = Axis.over((sum(parts) for _, parts in rows), 12, WIDTH - 12, log=False, format=format)
    found = [_horizontal(x, top, bottom)]
    for number, (name, values) in enumerate(rows):
        y, at = top + row * number, x.low
        found.append(_text(12, y + 14, name, "start", "name"))
        found.append(_text(WIDTH - 12, y + 14, format(sum(values)), "end", "name"))
        for part, value in enumerate(values):
            begin, at = x.at(at), at + max(0.0, value)
            found.append(
                f'<rect x="{begin:.1f}" y="{y + 19}" width="{max(0.0, x.at(at) - begin):.1f}" height="14" '
                f'fill="var(--s{part})"><title>{escape(name)}, {escape(kinds[part])}: {format(value)}</title></rect>'
            )
    return _svg(height, found, title)
