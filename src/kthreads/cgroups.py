"""The cgroups that this process is in, of version 2 and of version 1 (cgroups(7))."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from kthreads import procfs

__all__ = ["Cgroup", "memberships", "of_version_2"]

# Lines end at newlines alone: paths of other mounts may have any other character in them.
_MEMBERSHIP = re.compile(r"^\d+:([^:\n]*):([^\n]*)$", re.MULTILINE)  # cgroups(7)
_MOUNT = re.compile(r"^\d+ \d+ \S+ \S+ (\S+) [^\n]* - (cgroup2?) \S+ (\S*)$", re.MULTILINE)  # proc(5), mountinfo


class Cgroup(NamedTuple):
    """A cgroup, in one hierarchy."""

    controllers: frozenset[str]
    """The controllers of a hierarchy of version 1; empty for version 2."""
    mount: Path
    """Where the hierarchy is mounted."""
    folder: Path
    """The folder of the cgroup. Within a cgroup namespace it may not exist."""

    @property
    def folders(self) -> list[Path]:
        """The folder of the cgroup and those above it, up to the mount point."""
        return [
            self.folder,
            *(each for each in self.folder.parents if each == self.mount or self.mount in each.parents),
        ]


def memberships(pid: int | None = None) -> list[Cgroup]:
    """The cgroups of this process, or of another, in the hierarchies that are mounted."""
    mounts = _mounts()
    found = []
    for names, path in _MEMBERSHIP.findall(procfs.read(f"/proc/{pid or 'self'}/cgroup")):
        controllers = frozenset(filter(None, names.split(",")))
        mount = next((point for of, point in mounts if controllers <= of and bool(controllers) == bool(of)), None)
        if mount is not None:
            found.append(Cgroup(controllers, mount, mount / path.lstrip("/")))
    return found


def of_version_2(pid: int | None = None) -> Cgroup | None:
    """The cgroup of version 2, of this process or of another; None where its hierarchy is not mounted."""
    return next((each for each in memberships(pid) if not each.controllers), None)


def _mounts() -> list[tuple[frozenset[str], Path]]:
    """The controllers and the mount point of each mounted hierarchy."""
    return [
        (frozenset(options.split(",")) - {"rw", "ro"} if kind == "cgroup" else frozenset(), Path(point))
        for point, kind, options in _MOUNT.findall(procfs.read("/proc/self/mountinfo"))
    ]
