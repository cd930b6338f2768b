"""Files by which a program controls the kernel, or reads what it knows of the host: what a container does not get.

User 0 of a container without a user namespace is user 0 of the host, and may write these files without any capability.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from kthreads import procfs
from kthreads.processes.child_steps import Steps
from kthreads.processes.mount_flags import ATTR_NODEV, ATTR_NOEXEC, ATTR_NOSUID, ATTR_RDONLY

__all__ = ["KernelFiles", "is_at_or_below"]

READ_ONLY = {
    "proc": {
        "sys": "core_pattern, modprobe and binfmt_misc name programs that the kernel runs as root of the host",
        "sysrq-trigger": "one letter restarts the host",
        "irq": "the CPUs that serve the host's devices",
        "bus": "registers of PCI devices",
        "fs": "settings of file systems of the host",
    },
    "sysfs": {".": "devices, modules, power, and the cgroups: a program could leave its limits"},
}
"""What can be read, and why it cannot be written. "." is the whole file system."""

MASKED = {
    "proc": {
        "acpi": "devices can be switched off",
        "asound": "audio devices of the host",
        "interrupts": "the times of the host's interrupts tell what is typed",
        "kcore": "the memory of the kernel",
        "keys": "keys of the user's other processes",
        "latency_stats": "what the host's processes wait for",
        "sched_debug": "names of the host's processes",
        "scsi": "disks can be removed",
        "timer_list": "addresses of the kernel, and names of the host's processes",
        "timer_stats": "names of the host's processes",
    },
    "sysfs": {
        "firmware": "tables of the firmware",
        "devices/virtual/powercap": "the power that the CPU uses tells the host's secrets (CVE-2020-8694)",
    },
}
"""What cannot be read either, and why."""

_CONTROLS = frozenset(
    "binfmt_misc bpf cgroup cgroup2 configfs debugfs efivarfs fusectl pstore securityfs selinuxfs tracefs".split()  # noqa: SIM905
)
"""File systems by which programs control the kernel: read-only as a whole."""

_KINDS = "|".join({*READ_ONLY, *_CONTROLS})
_MOUNT = re.compile(rf"^\d+ \d+ \S+ \S+ (\S+) [^\n]* - ({_KINDS}) ", re.MULTILINE)  # proc(5), mountinfo
_OCTAL = re.compile(r"\\([0-7]{3})")


class KernelFiles:
    """Adds the steps that protect the kernel's files. The covers are taken in the old root, so it is made first.

    Args:
        steps: to add to.
    """

    def __init__(self, steps: Steps) -> None:
        self._steps = steps
        attributes = ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC
        folder = steps.filesystem("tmpfs", {"mode": "555", "size": "4k"}, attributes)
        self._covers = folder, steps.tree("/dev/null")

    def protect(self, kind: str, slot: int | None, folder: str = "") -> None:
        """Protects a file system of a kind that is attached: in a slot, or at a folder of the root."""
        for name in READ_ONLY.get(kind, ()):
            self._steps.protect(slot, os.path.normpath(os.path.join(folder, name)), ATTR_RDONLY)
        for name in MASKED.get(kind, ()):
            self._steps.mask(slot, os.path.join(folder, name), self._covers)
        if kind in _CONTROLS:
            self._steps.protect(slot, folder, ATTR_RDONLY)

    def protect_below(self, source: str, target: str, hidden: list[str]) -> None:
        """Protects what is mounted below a folder of the host, which is seen at `target`, but for what is hidden there."""
        for kind, place in mounts_below(source):
            seen = os.path.normpath(os.path.join(target, place))
            if not any(is_at_or_below(seen, above) for above in hidden):
                self.protect(kind, None, seen)


def mounts_below(folder: str) -> Iterator[tuple[str, str]]:
    """The file systems of the kernel that are mounted below a folder: kind and relative path. What lies in one that is
    read-only as a whole is not told again."""
    folder = os.path.realpath(folder)
    whole: list[str] = []
    for point, kind in _MOUNT.findall(procfs.read("/proc/self/mountinfo")):
        path = _OCTAL.sub(_character, point) if "\\" in point else point
        if path == folder or any(is_at_or_below(path, above) for above in whole) or not is_at_or_below(path, folder):
            continue
        if kind != "proc":
            whole.append(path)
        yield kind, os.path.relpath(path, folder)


def _character(octal: re.Match[str]) -> str:
    return chr(int(octal[1], 8))


def is_at_or_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder if folder == "/" else folder + "/")
