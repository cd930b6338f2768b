"""The limits on threads and CPUs that apply to this process. Each call reads them anew."""

from __future__ import annotations

import math
import os
import resource
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kthreads import cgroups, procfs
from kthreads._native import lib
from kthreads.integers import shown

__all__ = ["cpu_count", "default_workers", "set_default_workers"]


@dataclass(frozen=True)
class Limit:
    """One limit: its name, the amount used and the maximum. None means unknown, or no limit."""

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
    """The number of threads of this process. RLIMIT_NPROC counts at least these."""
    for line in procfs.read("/proc/self/status").splitlines():
        if line.startswith("Threads:"):
            return _number(line.split()[1])
    return None


def _pids_cgroups() -> list[Limit]:
    """The limits that pids controllers set for this process, from its cgroup to the root, in cgroup v2 and v1."""
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
    """The CPU quota of a cgroup, in CPUs (cgroup v2 cpu.max; v1 cpu.cfs_quota_us); None without a limit."""
    text = procfs.read(directory / "cpu.max")
    if text:
        quota, _, period = text.partition(" ")
    else:
        quota, period = procfs.read(directory / "cpu.cfs_quota_us"), procfs.read(directory / "cpu.cfs_period_us")
    if not (quota.isdigit() and period.isdigit() and int(period) > 0):
        return None
    return int(quota) / int(period)


def cpu_quota() -> float | None:
    """The smallest CPU quota of this process's cgroups and their ancestors, in CPUs; None without a limit."""
    found: list[float] = []
    for cgroup in cgroups.memberships():
        if not cgroup.controllers or "cpu" in cgroup.controllers:
            found.extend(quota for quota in map(_quota_of, cgroup.folders) if quota is not None)
    return min(found, default=None)


def cpu_count() -> int:
    """How many CPUs this process can use at the same time, 1 or more: the CPUs of its affinity mask
    (sched_getaffinity(2)), limited by the quota of its cgroup, rounded up (cgroups(7), cpu.max)."""
    cpus = len(os.sched_getaffinity(0))
    quota = cpu_quota()
    return cpus if quota is None else max(1, min(cpus, math.ceil(quota)))


_default_workers: int | None = None
_most_default_workers: int | None = None


def default_workers() -> int:
    """The number of workers of a pool that is created without one: `cpu_count()` unless a default is set."""
    workers, most = _unlimited_default_workers(), _most_default_workers
    return workers if most is None else min(workers, most)


def _unlimited_default_workers() -> int:
    default = _default_workers
    return min(cpu_count(), lib.KT_POOL_WORKERS_MAX) if default is None else default


def default_executor_workers() -> int:
    """The number of workers of an executor that is created without one, unless a default is set or limited: 4 more than
    CPUs but no more than 32, as in `concurrent.futures`, because tasks of an executor often wait for I/O."""
    set_or_limited = _default_workers is not None or _most_default_workers is not None
    return default_workers() if set_or_limited else min(32, cpu_count() + 4)


def set_default_workers(count: int | None) -> None:
    """Sets the number of workers of future pools and executors that are created without one. None restores the default
    that depends on `cpu_count()`.

    Args:
        count: from 1 to 4096, or None.

    Raises:
        TypeError, ValueError: the count is invalid.
    """
    global _default_workers
    _default_workers = None if count is None else check_workers("the default number of workers", count)


def limit_default_workers(most: int | None) -> None:
    """Limits the results of `default_workers` and `default_executor_workers`. None, or a limit that is not below the
    unlimited result of `default_workers`, removes the limit.

    Raises:
        TypeError, ValueError: the limit is not a valid number of workers.
    """
    global _most_default_workers
    most = None if most is None else check_workers("the limit of the default number of workers", most)
    _most_default_workers = None if most is None or most >= _unlimited_default_workers() else most


def check_workers(what: str, count: Any) -> int:
    """Returns a number of workers if it is valid.

    Raises:
        TypeError, ValueError: it is not an int, or out of range.
    """
    if not isinstance(count, int) or isinstance(count, bool):
        raise TypeError(f"{what} must be an int, not {type(count).__name__}")
    if not 1 <= count <= lib.KT_POOL_WORKERS_MAX:
        raise ValueError(f"{what} must be from 1 to {lib.KT_POOL_WORKERS_MAX}, not {shown(count)}")
    return count


def describe() -> str:
    """The limits on threads as one line of text."""
    return "; ".join(map(str, limits()))


def describe_memory() -> str:
    """The limits on memory as one line of text."""
    return "; ".join(map(str, memory_limits()))
