"""The existing namespaces that a process enters before it begins: what ``join=`` of `Process` names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from kthreads.flags.clone_flags import NAMESPACES, CloneFlags, all_but, flags_of
from kthreads.namespaces.reference import Target
from kthreads.processes.checks import check_number

__all__ = ["Joining"]

Entry = tuple[Any, CloneFlags | int] | Any
"""What `setns` takes as a target, or a pair of that and flags; in a pair it may also be a descriptor."""


class Joining:
    """The namespaces that are to be entered, as open descriptors. It closes those that it has opened at the
    end of a `with` block, or at its own end.

    Attributes:
        entries: pairs of a descriptor and flags, for setns(2).
    """

    def __init__(self, join: Iterable[Entry]) -> None:
        self._targets: list[Target] = []
        self.entries: tuple[tuple[int, int], ...] = tuple(
            found for entry in _listed(join) if (found := self._entry(entry))
        )

    def _entry(self, entry: Entry) -> tuple[int, int] | None:
        """None where there is nothing to enter: the process is in the same namespaces as this one."""
        target, flags = entry if isinstance(entry, tuple) else (entry, 0)
        asked = flags_of(flags)
        if extra := asked & all_but(NAMESPACES):
            raise ValueError(f"the flags of join= are those of namespaces (NEW...), not {extra!r}")
        if isinstance(target, int) and not isinstance(target, bool):
            return check_number("a descriptor of join=", target, 0), int(asked)
        at = Target(target)
        self._targets.append(at)
        entered = at.flags(asked) if asked or at.kind is not None else at.others()
        return (at.fd, int(entered)) if entered else None

    def __enter__(self) -> Joining:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for target in self._targets:
            target.close()


def _listed(join: Iterable[Entry]) -> list[Entry]:
    if isinstance(join, (str, bytes, os.PathLike)) or not isinstance(join, Iterable):
        raise TypeError(f"join= is a list of namespaces and processes, not {type(join).__name__}")
    entries = list(join)
    for entry in entries:
        if isinstance(entry, int) or (isinstance(entry, tuple) and len(entry) != 2):
            raise TypeError(f"an entry of join= is what setns() takes, or a pair of that and flags, not {entry!r}")
    return entries
