"""What the kernel looks at beside the flags: the caller, with which privileges, in which namespaces, on which kernel."""

from __future__ import annotations

import os
import re
from functools import cached_property
from typing import Any

from kthreads import procfs
from kthreads.flags.clone_flags import KINDS, CloneFlags

__all__ = ["Situation"]

_CAP_SYS_ADMIN = 21
_CAP_CHECKPOINT_RESTORE = 40


class Situation:
    """The state that decides, together with the flags, what the kernel answers.

    `Situation()` is that of the calling thread, each part read when it is first asked for, and kept. What cannot be
    read is taken to be no obstacle. Parts that are given replace what is here, to ask what would be elsewhere:
    ``Situation(kernel=(5, 4), sys_admin=False)``.
    """

    def __init__(self, **given: Any) -> None:
        unknown = [name for name in given if not isinstance(getattr(type(self), name, None), cached_property)]
        if unknown:
            raise TypeError(f"a situation has no {', '.join(unknown)}")
        self.__dict__.update(given)

    @property
    def read(self) -> frozenset[str]:
        """The names of the parts that were asked for, or given."""
        return frozenset(self.__dict__)

    @cached_property
    def kernel(self) -> tuple[int, int]:
        """The kernel's version, such as (6, 18)."""
        major, minor = re.findall(r"\d+", os.uname().release)[:2]
        return int(major), int(minor)

    @cached_property
    def sys_admin(self) -> bool:
        """Whether the thread has CAP_SYS_ADMIN in its user namespace."""
        return self._can(_CAP_SYS_ADMIN)

    @cached_property
    def checkpoint_restore(self) -> bool:
        """Whether it has CAP_CHECKPOINT_RESTORE there."""
        return self._can(_CAP_CHECKPOINT_RESTORE)

    @cached_property
    def user_namespaces(self) -> bool:
        """Whether it may make a user namespace (kernel.unprivileged_userns_clone, a sysctl of Debian)."""
        return procfs.read("/proc/sys/kernel/unprivileged_userns_clone") != "0" or self.sys_admin

    @cached_property
    def pid_init(self) -> bool:
        """Whether the process is the init of its PID namespace."""
        return os.getpid() == 1

    @cached_property
    def pid_pending(self) -> bool:
        """Whether children go to another PID namespace than the thread's, after unshare or setns."""
        return _pending("pid")

    @cached_property
    def time_pending(self) -> bool:
        """Likewise for the time namespace."""
        return _pending("time")

    @cached_property
    def threads(self) -> int:
        """How many threads the process has."""
        return int(_field(self._status, "Threads") or 1)

    @cached_property
    def shares_fs(self) -> bool | None:
        """Whether another task has the same root and working directory (CLONE_FS); None where that is not known."""
        return None if self.threads > 1 else False

    @cached_property
    def exhausted(self) -> CloneFlags:
        """The namespaces of which /proc/sys/user allows none."""
        none = CloneFlags(0)
        for kind, flag in KINDS.items():
            if procfs.read(f"/proc/sys/user/max_{kind}_namespaces") == "0":
                none |= flag
        return none

    @cached_property
    def _status(self) -> str:
        return procfs.read("/proc/thread-self/status")

    def _can(self, capability: int) -> bool:
        effective = _field(self._status, "CapEff")
        return effective is None or bool(int(effective, 16) >> capability & 1)


def _field(status: str, name: str) -> str | None:
    found = re.search(rf"^{name}:\s*(\S+)", status, re.MULTILINE)
    return found[1] if found else None


def _pending(kind: str) -> bool:
    """Whether children of this thread go to another namespace than its own.

    A PID namespace that waits for its first process has a link that cannot be read (pid_namespaces(7)).
    """
    try:
        own = os.readlink(f"/proc/thread-self/ns/{kind}")
    except OSError:
        return False
    children = f"/proc/thread-self/ns/{kind}_for_children"
    try:
        return os.readlink(children) != own
    except FileNotFoundError:
        return os.path.lexists(children)
