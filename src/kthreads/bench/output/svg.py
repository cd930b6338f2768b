"""Elements of SVG, as text. Their colours are variables of the page's style sheet, so that a plot is light or dark with it."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

WIDTH = 400
"""The width of each plot, in pixels of its own; on the page it is as wide as there is room."""

Point = tuple[float, float]


def drawing(height: float, elements: Iterable[str], title: str) -> str:
    """A whole image. Screen readers read its title."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title, quote=True)}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(elements)}</svg>'
    )


def text(x: float, y: float, content: str, anchor: str = "middle", kind: str = "") -> str:
    """A line of text. `anchor` says which point of it is at `x`; `kind` is its class."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(content)}</text>'


def line(x1: float, y1: float, x2: float, y2: float, attributes: str) -> str:
    """A straight line."""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" {attributes}/>'


def path(points: Iterable[Point], attributes: str, title: str) -> str:
    """Points joined by straight lines. The title is shown when the path is pointed at."""
    joined = "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return f'<path d="M{joined}" {attributes}><title>{escape(title)}</title></path>'


def circle(x: float, y: float, radius: float, attributes: str, title: str) -> str:
    """A circle. The title is shown when it is pointed at."""
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" {attributes}><title>{escape(title)}</title></circle>'


def bar(x: float, y: float, width: float, attributes: str, title: str) -> str:
    """A part of a horizontal bar. The title is shown when it is pointed at."""
    return (
        f'<rect x="{x:.1f}" y="{y:g}" width="{width:.1f}" height="14" {attributes}>'
        f"<title>{escape(title)}</title></rect>"
    )
