"""What a process with a mount namespace of its own sees: a root, and what is mounted in it.

Everything is made or taken before the root changes, and put into its place after it (csrc/process/mounts.c says why).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol

from kthreads.processes.child_steps import Steps
from kthreads.processes.mount_flags import MS_PRIVATE, MS_REC

__all__ = ["Bind", "Dev", "Mount", "Overlay", "Proc", "Sys", "Tmpfs", "add_mounts"]

_RDONLY, _NOSUID, _NODEV, _NOEXEC = 1, 2, 4, 8  # MOUNT_ATTR_* of linux/mount.h
_STAGES = ("/tmp", "/run", "/var", "/proc", "/dev")  # where a new root is mounted for a moment

Place = Callable[[bool], None]
"""Puts a mount into its place; told whether its mount point is to be made."""


class Mount(Protocol):
    """Something to mount."""

    @property
    def target(self) -> str:
        """Where."""

    def take(self, steps: Steps) -> Place:
        """Adds the steps that make or take it, and returns what adds those that put it into its place."""


def _attach(steps: Steps, slot: int, target: str, is_folder: bool = True) -> Place:
    def place(make: bool) -> None:
        if make:
            _make_point(steps, target, is_folder)
        steps.attach(slot, target)

    return place


def _make_point(steps: Steps, target: str, is_folder: bool) -> None:
    path = PurePosixPath(target)
    for parent in reversed(path.parents[:-1]):
        steps.mkdir(parent)
    if is_folder:
        steps.mkdir(path)
    else:
        steps.mkfile(path)


def _absolute(path: str | os.PathLike[str], what: str) -> str:
    text = os.path.normpath(os.fspath(path))
    if not os.path.isabs(text) or text == "/":
        raise ValueError(f"{what} must be an absolute path below /, not {os.fspath(path)!r}")
    return text


@dataclass(frozen=True)
class Bind:
    """A file or folder of the host, with all that is mounted below it.

    Attributes:
        source: its path on the host.
        target: where it is seen; as `source` when not given.
        read_only: Linux 5.12.
    """

    source: str | os.PathLike[str]
    target: str = ""
    read_only: bool = False

    def __post_init__(self) -> None:
        if not self.target:
            object.__setattr__(self, "target", os.path.abspath(self.source))

    def take(self, steps: Steps) -> Place:
        source = os.path.abspath(self.source)
        slot = steps.tree(source)
        if self.read_only:
            steps.attributes(slot, _RDONLY)
        return _attach(steps, slot, _absolute(self.target, "target"), os.path.isdir(source))


@dataclass(frozen=True)
class Tmpfs:
    """A file system in memory. As `root=` an empty one, to be filled with binds.

    Attributes:
        target: where.
        size: at most this many bytes.
        mode: of its root folder.
    """

    target: str = "/"
    size: int | None = None
    mode: int = 0o755

    def make(self, steps: Steps) -> int:
        options = {"mode": f"{self.mode:o}"}
        if self.size is not None:
            options["size"] = str(self.size)
        return steps.filesystem("tmpfs", options, _NOSUID | _NODEV)

    def take(self, steps: Steps) -> Place:
        return _attach(steps, self.make(steps), _absolute(self.target, "target"))


@dataclass(frozen=True)
class Proc:
    """The processes of the process's own PID namespace."""

    target: str = "/proc"

    def take(self, steps: Steps) -> Place:
        slot = steps.filesystem("proc", {}, _NOSUID | _NODEV | _NOEXEC)
        return _attach(steps, slot, _absolute(self.target, "target"))


@dataclass(frozen=True)
class Sys:
    """Read-only /sys, of the process's own network namespace."""

    target: str = "/sys"

    def take(self, steps: Steps) -> Place:
        slot = steps.filesystem("sysfs", {}, _RDONLY | _NOSUID | _NODEV | _NOEXEC)
        return _attach(steps, slot, _absolute(self.target, "target"))


@dataclass(frozen=True)
class Overlay:
    """Folders on top of one another (overlayfs): `lower` read, `upper` written, `work` an empty folder beside `upper`."""

    target: str
    lower: Sequence[str | os.PathLike[str]]
    upper: str | os.PathLike[str] | None = None
    work: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if (self.upper is None) != (self.work is None):
            raise ValueError("upper= and work= go together: what is written goes through the one into the other")

    def take(self, steps: Steps) -> Place:
        options = {"lowerdir": ":".join(map(os.path.abspath, self.lower))}
        if self.upper is not None and self.work is not None:
            options |= {"upperdir": os.path.abspath(self.upper), "workdir": os.path.abspath(self.work)}
        return _attach(steps, steps.filesystem("overlay", options), _absolute(self.target, "target"))


@dataclass(frozen=True)
class Dev:
    """A minimal /dev: null, zero, full, random, urandom and tty of the host, shm and pts of its own, and the usual links."""

    target: str = "/dev"

    def take(self, steps: Steps) -> Place:
        target = PurePosixPath(_absolute(self.target, "target"))
        nodes = {name: steps.tree(f"/dev/{name}") for name in ("null", "zero", "full", "random", "urandom", "tty")}
        slots = {
            target: steps.filesystem("tmpfs", {"mode": "755"}, _NOSUID | _NOEXEC),
            target / "shm": steps.filesystem("tmpfs", {"mode": "1777"}, _NOSUID | _NODEV),
            target / "pts": steps.filesystem(
                "devpts", {"newinstance": "", "ptmxmode": "0666", "mode": "620"}, _NOSUID | _NOEXEC
            ),
        }
        links = {"fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "ptmx": "pts/ptmx"}

        def place(make: bool) -> None:
            for path, slot in slots.items():
                _attach(steps, slot, str(path))(make or path != target)
            for name, slot in nodes.items():
                steps.mkfile(target / name)
                steps.attach(slot, target / name)
            for name, leads_to in links.items():
                steps.symlink(target / name, leads_to)

        return place


def _seen_from(folder: str, mounts: Sequence[Mount]) -> str:
    """What to change to, so that a folder that was mounted over is seen as it is now: itself, or the mount that hides it."""
    for mount in reversed(mounts):
        below = folder.removeprefix(mount.target.rstrip("/") + "/")
        if below != folder:
            is_there = isinstance(mount, Bind) and os.path.isdir(os.path.join(mount.source, below))
            return folder if is_there else mount.target
    return folder


def add_mounts(
    steps: Steps, root: str | os.PathLike[str] | Tmpfs | None, read_only: bool, mounts: Iterable[Mount]
) -> None:
    """Adds the steps that make a file system of these.

    Args:
        steps: to add to; the process has a mount namespace of its own.
        root: the folder that becomes the root, or None to keep the host's.
        read_only: whether the root is; mounts have settings of their own.
        mounts: in the order that they are mounted in.
    """
    # First of all: where the host shares its mounts, ours would come to be there, too.
    steps.mount(None, "/", None, MS_REC | MS_PRIVATE)
    mounts = list(mounts)
    places = [mount.take(steps) for mount in mounts]
    if root is not None:
        stage = next(path for path in _STAGES if Path(path).is_dir())
        slot = root.make(steps) if isinstance(root, Tmpfs) else steps.tree(os.path.abspath(root))
        if read_only and not isinstance(root, Tmpfs):
            steps.attributes(slot, _RDONLY)
        steps.attach(slot, stage)
        steps.pivot(stage)
    for place in places:
        place(root is not None)
    if read_only and (root is None or isinstance(root, Tmpfs)):
        steps.attributes_at("/", _RDONLY)
    if root is None and mounts:
        steps.chdir(_seen_from(os.getcwd(), mounts))
