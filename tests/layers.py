"""The layers that docs/explanation/architecture.md lists, and what breaks them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "explanation" / "architecture.md"

Uses = Mapping[str, set[str]]
"""What each file uses: paths below the root of the sources, with slashes."""


def layers(language: str) -> list[set[str]]:
    """The folders and files of each layer, the lowest first.

    Args:
        language: the word after `layers` in the page's block: `python` or `c`.
    """
    block = re.search(rf"^```text layers-{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert block, f"{PAGE} has no block of layers for {language}"
    return [set(line.partition("#")[0].split()) for line in block[1].splitlines()]


def unit_of(path: str, listed: list[set[str]]) -> str | None:
    """The folder or file of the list that a file belongs to, by its longest prefix; None when there is none."""
    units = {unit for layer in listed for unit in layer}
    parts = path.split("/")
    return next((unit for end in range(len(parts), 0, -1) if (unit := "/".join(parts[:end])) in units), None)


def arrows_that_run_up(uses: Uses, listed: list[set[str]]) -> list[str]:
    """A sentence for each use of a file in the same layer or a higher one, and for each file of no layer."""
    level = {unit: number for number, layer in enumerate(listed) for unit in layer}
    found = [f"{path} belongs to no layer" for path in uses if unit_of(path, listed) is None]
    for path, unit, used in _between_units(uses, listed):
        if level[unit_of(used, listed) or unit] >= level[unit]:
            found.append(f"{path} uses {used}, which is in no lower layer")
    return found


def _between_units(uses: Uses, listed: list[set[str]]) -> Iterator[tuple[str, str, str]]:
    for path in uses:
        unit = unit_of(path, listed)
        for used in sorted(uses[path]):
            if unit and unit_of(used, listed) not in (unit, None):
                yield path, unit, used


def circles(uses: Uses) -> list[str]:
    """A sentence for each circle of files, in which every file uses the next: one of those that a file is in."""
    found: set[frozenset[str]] = set()
    sentences = []
    for start in sorted(uses):
        way = _way_back(start, uses)
        if way and frozenset(way) not in found:
            found.add(frozenset(way))
            sentences.append(" uses ".join([*way, start]))
    return sentences


def _way_back(start: str, uses: Uses) -> list[str]:
    """The files of the shortest way from a file over those that it uses to itself; none when there is no way."""
    came_from = dict.fromkeys(uses[start], start)
    waiting = sorted(came_from)
    for path in waiting:
        if path == start:
            break
        for used in sorted(uses.get(path, ())):
            if used not in came_from:
                came_from[used] = path
                waiting.append(used)
    if start not in came_from:
        return []
    way = [came_from[start]]
    while way[-1] != start:
        way.append(came_from[way[-1]])
    return way[::-1]
