"""The limits on threads that this process is under, read when they are asked for."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

_CGROUP_ROOT = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Limit:
    """One limit: its name, how much of it is used and how much there is (None: not known, or no limit)."""

    name: str
    used: int | None
    most: int | None

    def __str__(self) -> str:
        most = "unlimited" if self.most is None else f"{self.most:,}"
        return f"{self.name} {most}" if self.used is None else f"{self.name} {self.used:,} of {most}"


def _read(path: str | Path) -> str | None:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None


def _threads_of_system() -> int | None:
    fields = (_read("/proc/loadavg") or "").split()
    return _number(fields[3].partition("/")[2]) if len(fields) > 3 else None


def _threads_of_user() -> int | None:
    """Threads of this process: the least that RLIMIT_NPROC counts."""
    for line in (_read("/proc/self/status") or "").splitlines():
        if line.startswith("Threads:"):
            return _number(line.split()[1])
    return None


def _pids_cgroups() -> list[Limit]:
    """The pids controllers above this process that set a limit, in cgroup v2 and v1."""
    found = []
    for line in (_read("/proc/self/cgroup") or "").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "pids"):
            continue
        root = _CGROUP_ROOT / "pids" if controllers else _CGROUP_ROOT
        directory = root / path.lstrip("/")
        while True:
            most = _number(_read(directory / "pids.max"))
            if most is not None:
                found.append(Limit(f"pids.max of cgroup {directory}", _number(_read(directory / "pids.current")), most))
            if directory in (root, directory.parent):
                break
            directory = directory.parent
    return found


def limits() -> list[Limit]:
    """All limits on the number of threads (clone(2), EAGAIN; proc(5); cgroups(7))."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    threads = _threads_of_system()
    return [
        Limit("RLIMIT_NPROC", _threads_of_user(), None if soft == resource.RLIM_INFINITY else soft),
        Limit("threads-max", threads, _number(_read("/proc/sys/kernel/threads-max"))),
        Limit("pid_max", threads, _number(_read("/proc/sys/kernel/pid_max"))),
        *_pids_cgroups(),
    ]


def memory_limits() -> list[Limit]:
    """The limits on mappings and address space (mmap(2), ENOMEM)."""
    maps = _read("/proc/self/maps")
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return [
        Limit(
            "max_map_count",
            None if maps is None else maps.count("\n") + 1,
            _number(_read("/proc/sys/vm/max_map_count")),
        ),
        Limit("RLIMIT_AS", None, None if soft == resource.RLIM_INFINITY else soft),
    ]


def describe() -> str:
    """The limits on threads as one line of text."""
    return "; ".join(map(str, limits()))


def describe_memory() -> str:
    """The limits on memory as one line of text."""
    return "; ".join(map(str, memory_limits()))
