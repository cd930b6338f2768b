"""User and group ids of a user namespace: which inside stands for which outside (user_namespaces(7))."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kthreads.errors import UnsupportedError

__all__ = ["IdMap", "IdMapping", "subordinate"]

IdMapping = str | int | Iterable[tuple[int, int, int]]
"""How a map may be given: "root", "current", "auto", one id inside for our own, or (inside, outside, count) each."""


@dataclass(frozen=True)
class IdMap:
    """Ranges of ids: (first inside, first outside, count)."""

    kind: Literal["uid", "gid"]
    ranges: tuple[tuple[int, int, int], ...]

    @classmethod
    def of(cls, kind: Literal["uid", "gid"], given: IdMapping | None) -> IdMap:
        """The map that is meant; None is "current".

        Raises:
            ValueError: it is invalid.
        """
        own = os.geteuid() if kind == "uid" else os.getegid()
        if given is None or given == "current":
            given = own
        elif given == "root":
            given = 0
        elif given == "auto":
            first, count = subordinate(kind)
            return cls(kind, ((0, own, 1), (1, first, count)))
        elif isinstance(given, str):
            raise ValueError(f'{kind}_map must be "root", "current", "auto", an id or ranges, not {given!r}')
        ranges = ((given, own, 1),) if isinstance(given, int) else tuple((int(i), int(o), int(c)) for i, o, c in given)
        if not ranges or any(inside < 0 or outside < 0 or count < 1 for inside, outside, count in ranges):
            raise ValueError(f"{kind}_map needs ranges (inside, outside, count) with count 1 or more, not {ranges}")
        return cls(kind, ranges)

    @property
    def text(self) -> str:
        """As the kernel reads it."""
        return "".join(f"{inside} {outside} {count}\n" for inside, outside, count in self.ranges)

    @property
    def is_own_id(self) -> bool:
        """Whether it is our own id alone, which needs no privilege."""
        own = os.geteuid() if self.kind == "uid" else os.getegid()
        return len(self.ranges) == 1 and self.ranges[0][1:] == (own, 1)

    def inside(self, outside: int) -> int | None:
        """The id inside that stands for one outside."""
        for first, start, count in self.ranges:
            if start <= outside < start + count:
                return first + outside - start
        return None

    @property
    def lowest(self) -> int:
        """The lowest id inside."""
        return min(inside for inside, _, _ in self.ranges)

    def write_by_helper(self, pid: int) -> None:
        """Has newuidmap or newgidmap write it, which look at what /etc/subuid and /etc/subgid allow us.

        Raises:
            UnsupportedError: they are not installed.
            PermissionError: they refused.
        """
        name = f"new{self.kind}map"
        program = shutil.which(name)
        if program is None:
            raise UnsupportedError(
                f"a map of more than the caller's id needs privilege or the program {name} (package uidmap)"
            )
        numbers = [str(number) for row in self.ranges for number in row]
        done = subprocess.run([program, str(pid), *numbers], stderr=subprocess.PIPE, text=True, check=False)
        # Where SIGCHLD is ignored, its status says nothing: the map itself does.
        if done.returncode or not Path(f"/proc/{pid}/{self.kind}_map").read_text().strip():
            raise PermissionError(f"{name} refused the map {self.ranges}: {done.stderr.strip()}")


def subordinate(kind: str) -> tuple[int, int]:
    """The first range that is ours (subuid(5))."""
    user = pwd.getpwuid(os.geteuid())
    path = Path(f"/etc/sub{kind}")
    lines = path.read_text().splitlines() if path.exists() else []
    for line in lines:
        owner, _, rest = line.partition(":")
        if owner in (user.pw_name, str(user.pw_uid)):
            first, _, count = rest.partition(":")
            return int(first), int(count)
    raise UnsupportedError(f"{path} has no range for {user.pw_name}")
