"""User and group ids of a user namespace: which inside stands for which outside (user_namespaces(7))."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterable
from operator import index
from typing import Literal

from kthreads import procfs
from kthreads.errors import UnsupportedError
from kthreads.record import Record

__all__ = ["IdMap", "IdMapping", "check_id", "check_ranges", "is_configured", "subordinate"]

HIGHEST = 2**32 - 2
"""The highest id: the kernel has 32 bits for one, and the last number means "no change"."""

IdMapping = str | int | Iterable[tuple[int, int, int]]
"""How a map may be given: "root", "current", "auto", one id inside for our own, or (inside, outside, count) each."""


def check_id(number: int) -> int:
    """Returns a user or group id.

    Raises:
        ValueError: it is none. The kernel would take another one, as it reads 32 bits.
    """
    if not 0 <= number <= HIGHEST:
        raise ValueError(f"{number} is not a user or group id, which are 0 to {HIGHEST}")
    return number


def check_ranges(ranges: Iterable[tuple[int, int, int]]) -> None:
    """Raises ValueError if an id of a map is none, or a range has none."""
    for inside, outside, count in ranges:
        if count < 1:
            raise ValueError(f"a range of ids (inside, outside, count) needs a count of 1 or more, not {count}")
        for first in (inside, outside):
            check_id(first)
            check_id(first + count - 1)


def _ranges_of(kind: str, given: Iterable[tuple[int, int, int]]) -> tuple[tuple[int, int, int], ...]:
    try:
        return tuple((index(inside), index(outside), index(count)) for inside, outside, count in given)
    except (TypeError, ValueError):
        what = f'{kind}_map must be "root", "current", "auto", an id or a list of (inside, outside, count)'
        raise TypeError(f"{what}, not {given!r}") from None


class IdMap(Record):
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
            # For root, user 0 of the host is nobody inside.
            given = ((0, first, count),) if own == 0 else ((0, own, 1), (1, first, count))
        elif isinstance(given, str):
            raise ValueError(f'{kind}_map must be "root", "current", "auto", an id or ranges, not {given!r}')
        ranges = ((given, own, 1),) if isinstance(given, int) else _ranges_of(kind, given)
        if not ranges:
            raise ValueError(f"{kind}_map needs at least one range (inside, outside, count)")
        check_ranges(ranges)
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
        import shutil

        name = f"new{self.kind}map"
        program = shutil.which(name)
        if program is None:
            raise UnsupportedError(
                f"a map of more than the caller's id needs privilege or the program {name} (package uidmap)"
            )
        numbers = [str(number) for row in self.ranges for number in row]
        done = subprocess.run([program, str(pid), *numbers], stderr=subprocess.PIPE, text=True, check=False)
        # Where SIGCHLD is ignored, its status says nothing: the map itself does.
        if done.returncode or not procfs.read(f"/proc/{pid}/{self.kind}_map"):
            raise PermissionError(f"{name} refused the map {self.ranges}: {done.stderr.strip()}")


def _lines(path: str) -> list[str]:
    """The lines of a file; none where there is no file."""
    try:
        with open(path, errors="surrogateescape") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def subordinate(kind: Literal["uid", "gid"]) -> tuple[int, int]:
    """The first range that is ours, its first id and how many (subuid(5)).

    Raises:
        UnsupportedError: there is none, or we have no entry in passwd(5).
        OSError: the file of ranges cannot be read.
    """
    user = _own_entry()
    path = f"/etc/sub{kind}"
    for line in _lines(path):
        owner, *numbers = line.split(":")
        if owner in (user.pw_name, str(user.pw_uid)) and len(numbers) == 2:
            if not all(each.isascii() and each.isdigit() for each in numbers):
                raise UnsupportedError(f"{path} has a range for {user.pw_name} that is not FIRST:COUNT: {line!r}")
            return int(numbers[0]), int(numbers[1])
    raise UnsupportedError(f"{path} has no range for {user.pw_name}")


def _own_entry() -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(os.geteuid())
    except KeyError:
        raise UnsupportedError(
            f"user {os.geteuid()} has no entry in /etc/passwd, by whose name /etc/subuid and /etc/subgid grant ids"
        ) from None


def is_configured() -> bool:
    """Whether there are ranges of users and of groups that are ours."""
    try:
        return bool(subordinate("uid")) and bool(subordinate("gid"))
    except (OSError, UnsupportedError):
        return False
