"""A cgroup (version 2) for one container: limits on memory, CPU time and processes (cgroups(7))."""

from __future__ import annotations

from pathlib import Path

from kthreads import cgroups, procfs
from kthreads.errors import UnsupportedError
from kthreads.own_cgroup import OwnCgroup

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
    Where this process is killed before, the next one that makes such a cgroup in the same place removes it.

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
                self._own = _make(folder, limits)
            except OSError as error:
                reasons.append(f"{folder}: {error.strerror}")
                continue
            self.path = self._own.path
            return
        raise UnsupportedError(
            "no cgroup can be made for these limits: "
            + ("; ".join(reasons) if reasons else "cgroups of version 2 are not mounted")
            + ". Limits need cgroup version 2 with these controllers, and a cgroup that may be written to"
        )

    def freeze(self) -> None:
        """Has the kernel stop all processes in it (Linux 5.2)."""
        (self.path / "cgroup.freeze").write_text("1")

    def thaw(self) -> None:
        """Lets them go on."""
        (self.path / "cgroup.freeze").write_text("0")

    def __enter__(self) -> Cgroup:
        return self

    def __exit__(self, *_: object) -> None:
        self._own.remove()


def _words(path: Path) -> set[str]:
    return set(procfs.read(path).split())


def _own_folders() -> list[Path]:
    own = cgroups.of_version_2()
    return [] if own is None else own.folders


def _make(folder: Path, limits: Limits) -> OwnCgroup:
    """Makes a cgroup in a folder, whose controllers are handed down to it where they are not yet."""
    wanted = limits.controllers - _words(folder / "cgroup.subtree_control")
    if wanted:
        (folder / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in sorted(wanted)))
    own = OwnCgroup(folder)
    try:
        for name, value in limits.files.items():
            if name == "memory.swap.max" and not (own.path / name).exists() and (own.path / "memory.max").exists():
                continue  # a kernel without swap
            (own.path / name).write_text(value)
    except BaseException:
        own.remove()
        raise
    return own
