"""The memory that threads take, as /proc and the cgroup count it."""

from __future__ import annotations

import os
from pathlib import Path

from kthreads import cgroups, procfs


def _number(path: Path) -> int | None:
    text = procfs.read(path)
    return int(text) if text.isdigit() else None


def _fields(path: str, names: tuple[str, ...]) -> dict[str, int]:
    """The values of lines ``Name: 12 kB`` of a file, in bytes."""
    found = {}
    for line in procfs.read(path).splitlines():
        name, _, rest = line.partition(":")
        if name in names:
            found[name] = int(rest.split()[0]) * 1024
    return found


def _cgroup() -> int | None:
    """Bytes charged to this process's cgroup, the kernel's for it included (cgroups v2: memory.current; v1: usage)."""
    for cgroup in cgroups.memberships():
        if cgroup.controllers and "memory" not in cgroup.controllers:
            continue
        name = "memory.usage_in_bytes" if cgroup.controllers else "memory.current"
        for folder in (cgroup.folder, cgroup.mount):
            if (used := _number(folder / name)) is not None:
                return used
    return None


def now() -> dict[str, float]:
    """Bytes of memory in use, by kind: "resident" and "page tables" of this process, "kernel stacks" of the whole machine,
    "machine" (less what is available, so that differences count), and "cgroup" where the process's cgroup counts memory."""
    status = _fields("/proc/self/status", ("VmPTE",))
    machine = _fields("/proc/meminfo", ("KernelStack", "MemAvailable"))
    resident = int(procfs.read("/proc/self/statm").split()[1]) * os.sysconf("SC_PAGESIZE")
    found = {
        "resident": resident,
        "page tables": status.get("VmPTE", 0),
        "kernel stacks": machine.get("KernelStack", 0),
        "machine": -machine.get("MemAvailable", 0),
    }
    if (cgroup := _cgroup()) is not None:
        found["cgroup"] = cgroup
    return dict(found)


def grown(before: dict[str, float], after: dict[str, float], threads: int) -> dict[str, float]:
    """How much each kind has grown, in bytes a thread."""
    return {what: (after[what] - before[what]) / threads for what in before if what in after}
