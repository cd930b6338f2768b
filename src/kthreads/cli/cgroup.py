"""A cgroup (version 2) for one container: limits on memory, CPU time and processes (cgroups(7))."""

from __future__ import annotations

import contextlib
import errno
import tempfile
import time
from pathlib import Path

from kthreads import cgroups, deadline, procfs
from kthreads.errors import UnsupportedError

__all__ = ["Cgroup", "Limits"]

_PERIOD_US = 100_000  # of cpu.max: the kernel's default


class Limits:
    """What a container may use at most.

    Args:
        memory: bytes; none of it swapped out.
        cpus: CPUs, such as 1.5.
        pids: processes and threads.
    """

    def __init__(self, memory: int | None = None, cpus: float | None = None, pids: int | None = None) -> None:
        self.files: dict[str, str] = {}
        if memory is not None:
            self.files |= {"memory.max": str(memory), "memory.swap.max": "0"}
        if cpus is not None:
            self.files["cpu.max"] = f"{round(cpus * _PERIOD_US)} {_PERIOD_US}"
        if pids is not None:
            self.files["pids.max"] = str(pids)

    @property
    def controllers(self) -> set[str]:
        """The controllers that watch over them."""
        return {name.partition(".")[0] for name in self.files}


class Cgroup:
    """A new cgroup with limits, as a context manager: at the end, what is left in it is killed and it is removed.

    Args:
        limits: what to write into it.
        folders: where it may be made, the best first; None for our own cgroup and those above it.

    Raises:
        UnsupportedError: none can be made; the message says why.

    Attributes:
        path: its folder.
    """

    def __init__(self, limits: Limits, folders: list[Path] | None = None) -> None:
        places = _own_folders() if folders is None else folders
        reasons = []
        for folder in places:
            missing = limits.controllers - _words(folder / "cgroup.controllers")
            if missing:
                reasons.append(f"{folder} has no controller for {', '.join(sorted(missing))}")
                continue
            try:
                self.path = _make(folder, limits)
            except OSError as error:
                reasons.append(f"{folder}: {error.strerror}")
                continue
            return
        raise UnsupportedError(
            "no cgroup can be made for these limits: "
            + ("; ".join(reasons) if reasons else "cgroups of version 2 are not mounted")
            + ". Limits need cgroup version 2 with these controllers, and a cgroup that may be written to"
        )

    def __enter__(self) -> Cgroup:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(FileNotFoundError):  # cgroup.kill is of Linux 5.14
            if (self.path / "cgroup.kill").exists():
                (self.path / "cgroup.kill").write_text("1")
            _remove(self.path)


def _words(path: Path) -> set[str]:
    return set(procfs.read(path).split())


def _own_folders() -> list[Path]:
    own = cgroups.of_version_2()
    return [] if own is None else own.folders


def _make(folder: Path, limits: Limits) -> Path:
    """Makes a cgroup in a folder, whose controllers are handed down to it where they are not yet."""
    wanted = limits.controllers - _words(folder / "cgroup.subtree_control")
    if wanted:
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(wanted)))
    path = Path(tempfile.mkdtemp(prefix="kthreads-", dir=folder))
    try:
        for name, value in limits.files.items():
            if name == "memory.swap.max" and not (path / name).exists() and (path / "memory.max").exists():
                continue  # a kernel without swap
            (path / name).write_text(value)
    except OSError:
        path.rmdir()
        raise
    return path


def _remove(path: Path) -> None:
    """Removes a cgroup; what was killed may take a moment to be gone."""
    limit = deadline.after(10)
    while True:
        try:
            path.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY or deadline.has_passed(limit):
                raise
            time.sleep(0.005)
        else:
            return
