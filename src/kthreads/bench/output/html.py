"""Elements of HTML, as text. They escape every text that they are given, but for arguments that are HTML already.

By jinja2 the same elements are seven lines of macros in place of these functions, and are escaped by default; the page that
they make of the kept run differs in the spelling of quotes only (364,469 bytes, these 364,500). For that, `--html` would need
an optional extra (jinja2 3.1 and markupsafe: 3 MB, one of them compiled). The functions stay: each has one or two lines.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape


def figure(title: str, svg: str, note: str = "") -> str:
    """A plot with a caption above it, and a note below."""
    below = f"<p class='note'>{escape(note)}</p>" if note else ""
    return f"<figure><figcaption>{escape(title)}</figcaption>{svg}{below}</figure>"


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Pairs of a symbol in HTML and its name."""
    parts = "".join(f"<span>{symbol}{escape(name)}</span>" for symbol, name in entries)
    return f'<div class="legend">{parts}</div>'


def grid(figures: str) -> str:
    """Figures, in HTML, side by side where there is room."""
    return f'<div class="figures">{figures}</div>'


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table, which scrolls by itself where the page is narrower."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def items(texts: Iterable[str]) -> str:
    """A list."""
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def details(summary: str, body: str, *, opened: bool = False) -> str:
    """A body in HTML that opens and closes by a click on its summary."""
    return f"<details{' open' if opened else ''}><summary>{escape(summary)}</summary>{body}</details>"


def section(name: str, title: str, body: str) -> str:
    """A section in HTML that links can point at by its name."""
    return f'<section id="{name}"><h2>{escape(title)}</h2>{body}</section>'
