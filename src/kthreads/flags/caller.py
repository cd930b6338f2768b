"""What the kernel checks besides the flags: the caller's privileges, namespaces and threads, and the kernel's version."""

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
    """The state of the caller and the system that, with the flags, decides whether the kernel accepts a call.

    `Situation()` describes the calling thread. Each attribute is read when it is first used, and kept. An attribute that
    cannot be read is assumed not to prevent the call. Arguments replace attributes, to describe another caller or
    system: ``Situation(kernel=(5, 4), sys_admin=False)``.
    """

    def __init__(self, **given: Any) -> None:
        unknown = [name for name in given if not isinstance(getattr(type(self), name, None), cached_property)]
        if unknown:
            raise TypeError(f"a situation has no {', '.join(unknown)}")
        self.__dict__.update(given)

    @property
    def read(self) -> frozenset[str]:
        """The names of the attributes that have been read or given."""
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
        """Whether the thread has CAP_CHECKPOINT_RESTORE in its user namespace."""
        return self._can(_CAP_CHECKPOINT_RESTORE)

    @cached_property
    def user_namespaces(self) -> bool:
        """Whether the thread may create a user namespace (kernel.unprivileged_userns_clone, a sysctl of Debian)."""
        return procfs.read("/proc/sys/kernel/unprivileged_userns_clone") != "0" or self.sys_admin

    @cached_property
    def pid_init(self) -> bool:
        """Whether the process is the init of its PID namespace."""
        return os.getpid() == 1

    @cached_property
    def pid_pending(self) -> bool:
        """Whether children enter another PID namespace than the thread's, after unshare or setns."""
        return _pending("pid")

    @cached_property
    def time_pending(self) -> bool:
        """Whether children enter another time namespace than the thread's, after unshare or setns."""
        return _pending("time")

    @cached_property
    def threads(self) -> int:
        """How many threads the process has."""
        return int(_field(self._status, "Threads") or 1)

    @cached_property
    def shares_fs(self) -> bool | None:
        """Whether another task shares the root and working directory (CLONE_FS); None where this is not known."""
        return None if self.threads > 1 else False

    @cached_property
    def exhausted(self) -> CloneFlags:
        """The kinds of namespaces whose limit in /proc/sys/user is 0."""
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
    """Whether children of this thread enter another namespace than its own.

    The link of a PID namespace that has no process yet cannot be read (pid_namespaces(7)).
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
