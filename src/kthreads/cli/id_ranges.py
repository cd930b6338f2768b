"""Ranges of ids that a command maps into a user namespace (`--map-users`, `--map-groups`)."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from kthreads.errors import KThreadsError
from kthreads.processes.idmap import check_ranges, subordinate

__all__ = ["Kind", "Range", "beside", "id_ranges"]

Kind = Literal["uid", "gid"]
Range = tuple[int, int, int]
"""The first id inside, the first outside, and how many."""


def id_ranges(kind: Kind) -> Callable[[str], list[Range]]:
    """The type of an option whose value names ranges: ``INSIDE:OUTSIDE:COUNT``, ``OUTSIDE,INSIDE,COUNT`` or a word.

    The words are ``auto``, for the first range that subuid(5) or subgid(5) grants to the caller, from 0 inside; ``subids``,
    for the same range under its own numbers; and ``all``, for all ids of the caller's user namespace.
    """

    def parse(text: str) -> list[Range]:
        try:
            ranges = _ranges(kind, text)
            check_ranges(ranges)
        except (KThreadsError, OSError, ValueError) as error:
            raise argparse.ArgumentTypeError(f"invalid mapping {text!r}: {error}") from None
        return ranges

    return parse


def _ranges(kind: Kind, text: str) -> list[Range]:
    if text in ("auto", "subids"):
        first, count = subordinate(kind)
        return [(0 if text == "auto" else first, first, count)]
    if text == "all":
        rows = (line.split() for line in Path(f"/proc/self/{kind}_map").read_text().splitlines())
        return [(int(first), int(first), int(count)) for first, _, count in rows]
    found = re.fullmatch(r"([0-9]{1,10})([:,])([0-9]{1,10})\2([0-9]{1,10})", text, re.ASCII)
    if found is None:
        raise ValueError("neither INSIDE:OUTSIDE:COUNT nor auto, subids or all")
    first, second, count = int(found[1]), int(found[3]), int(found[4])
    return [(first, second, count) if found[2] == ":" else (second, first, count)]


def beside(single: tuple[int, int], ranges: Iterable[Range]) -> list[Range]:
    """The map of a single id, inside and outside, and of ranges that make room for it.

    A range that the single id meets, on either side, is one id shorter: its ids from there on move up by one, and its last
    one is not mapped (unshare(1)).
    """
    return [(*single, 1), *(part for each in ranges for part in _parts(*each, *single))]


def _parts(first: int, start: int, count: int, inside: int, outside: int) -> list[Range]:
    """The parts of a range below, between and above the two numbers of a single id."""
    if first <= inside <= first + count or start <= outside <= start + count:
        count -= 1
    below, above = sorted(min(max(offset, 0), count) for offset in (inside - first, outside - start))
    parts = []
    for length in (below, above - below, count - above):
        if length:
            parts.append((first, start, length))
        first, start = first + length, start + length
        first, start = first + (first == inside), start + (start == outside)
    return parts
