"""The limits on threads and CPUs that this process is under, read when they are asked for."""

from __future__ import annotations

import math
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kthreads import cgroups, procfs
from kthreads._native import lib

__all__ = [
    "Limit", "check_workers", "cpu_count", "cpu_quota", "default_executor_workers", "default_workers", "describe",
    "describe_memory", "limit_default_workers", "limits", "memory_limits", "set_default_workers",
]  # fmt: skip


@dataclass(frozen=True)
class Limit:
    """One limit: its name, how much of it is used and how much there is (None: not known, or no limit)."""

    name: str
    used: int | None
    most: int | None

    def __str__(self) -> str:
        most = "unlimited" if self.most is None else f"{self.most:,}"
        return f"{self.name} {most}" if self.used is None else f"{self.name} {self.used:,} of {most}"


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _threads_of_system() -> int | None:
    fields = procfs.read("/proc/loadavg").split()
    return _number(fields[3].partition("/")[2]) if len(fields) > 3 else None


def _threads_of_user() -> int | None:
    """Threads of this process: the least that RLIMIT_NPROC counts."""
    for line in procfs.read("/proc/self/status").splitlines():
        if line.startswith("Threads:"):
            return _number(line.split()[1])
    return None


def _pids_cgroups() -> list[Limit]:
    """The pids controllers above this process that set a limit, in cgroup v2 and v1."""
    found = []
    for cgroup in cgroups.memberships():
        if cgroup.controllers and "pids" not in cgroup.controllers:
            continue
        for folder in cgroup.folders:
            most = _number(procfs.read(folder / "pids.max"))
            if most is not None:
                found.append(Limit(f"pids.max of cgroup {folder}", _number(procfs.read(folder / "pids.current")), most))
    return found


def limits() -> list[Limit]:
    """All limits on the number of threads (clone(2), EAGAIN; proc(5); cgroups(7))."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    threads = _threads_of_system()
    return [
        Limit("RLIMIT_NPROC", _threads_of_user(), None if soft == resource.RLIM_INFINITY else soft),
        Limit("threads-max", threads, _number(procfs.read("/proc/sys/kernel/threads-max"))),
        Limit("pid_max", threads, _number(procfs.read("/proc/sys/kernel/pid_max"))),
        *_pids_cgroups(),
    ]


def memory_limits() -> list[Limit]:
    """The limits on mappings and address space (mmap(2), ENOMEM)."""
    maps = procfs.read("/proc/self/maps")
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return [
        Limit(
            "max_map_count",
            maps.count("\n") + 1 if maps else None,
            _number(procfs.read("/proc/sys/vm/max_map_count")),
        ),
        Limit("RLIMIT_AS", None, None if soft == resource.RLIM_INFINITY else soft),
    ]


def _quota_of(directory: Path) -> float | None:
    """CPUs that a cgroup may use by its quota (cgroup v2 cpu.max; v1 cpu.cfs_quota_us); None without a limit."""
    text = procfs.read(directory / "cpu.max")
    if text:
        quota, _, period = text.partition(" ")
    else:
        quota, period = procfs.read(directory / "cpu.cfs_quota_us"), procfs.read(directory / "cpu.cfs_period_us")
    if not (quota.isdigit() and period.isdigit() and int(period) > 0):
        return None
    return int(quota) / int(period)


def cpu_quota() -> float | None:
    """The least of the quotas of this process's cgroups and those above them."""
    found: list[float] = []
    for cgroup in cgroups.memberships():
        if not cgroup.controllers or "cpu" in cgroup.controllers:
            found.extend(quota for quota in map(_quota_of, cgroup.folders) if quota is not None)
    return min(found, default=None)


def cpu_count() -> int:
    """How many CPUs this process can use at once, 1 or more: those of its affinity (sched_getaffinity(2)), and no more
    than its cgroup's quota, rounded up (cgroups(7), cpu.max)."""
    cpus = len(os.sched_getaffinity(0))
    quota = cpu_quota()
    return cpus if quota is None else max(1, min(cpus, math.ceil(quota)))


_default_workers: int | None = None
_most_default_workers: int | None = None


def default_workers() -> int:
    """How many workers a pool has that is not told: `cpu_count()` unless set."""
    workers = _unlimited_default_workers()
    return workers if _most_default_workers is None else min(workers, _most_default_workers)


def _unlimited_default_workers() -> int:
    return min(cpu_count(), lib.KT_POOL_WORKERS_MAX) if _default_workers is None else _default_workers


def default_executor_workers() -> int:
    """How many workers an executor has that is not told: as the standard one, whose tasks often wait for something, 4
    more than CPUs but no more than 32, unless a default is set or limited."""
    set_or_limited = _default_workers is not None or _most_default_workers is not None
    return default_workers() if set_or_limited else min(32, cpu_count() + 4)


def set_default_workers(count: int | None) -> None:
    """Sets how many workers pools and executors have that are made from now on and not told; None for what depends on
    `cpu_count()` again.

    Args:
        count: from 1 to 4096, or None.

    Raises:
        TypeError, ValueError: it is none of these.
    """
    global _default_workers
    _default_workers = None if count is None else check_workers("the default number of workers", count)


def limit_default_workers(most: int | None) -> None:
    """Lets `default_workers` and `default_executor_workers` return no more than this, until a limit that is no less than
    what the former returns without.

    Raises:
        TypeError, ValueError: the limit is no number of workers.
    """
    global _most_default_workers
    most = None if most is None else check_workers("the limit of the default number of workers", most)
    _most_default_workers = None if most is None or most >= _unlimited_default_workers() else most


def check_workers(what: str, count: Any) -> int:
    """A number of workers.

    Raises:
        TypeError, ValueError: it is none, or out of range.
    """
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"{what} must be an int, not {type(count).__name__}")
    if not 1 <= count <= lib.KT_POOL_WORKERS_MAX:
        raise ValueError(f"{what} must be from 1 to {lib.KT_POOL_WORKERS_MAX}, not {count}")
    return count


def describe() -> str:
    """The limits on threads as one line of text."""
    return "; ".join(map(str, limits()))


def describe_memory() -> str:
    """The limits on memory as one line of text."""
    return "; ".join(map(str, memory_limits()))
