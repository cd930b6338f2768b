"""The options that name a kind of namespace, as unshare(1) and nsenter(1) have them."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["NAMESPACE_OPTIONS", "NamespaceOption"]


class NamespaceOption(NamedTuple):
    """How a kind of namespace is asked for."""

    letter: str
    name: str
    what: str
    """What it isolates."""


NAMESPACE_OPTIONS = {
    "mnt": NamespaceOption("-m", "--mount", "mounts"),
    "uts": NamespaceOption("-u", "--uts", "host and domain name"),
    "ipc": NamespaceOption("-i", "--ipc", "System V IPC and POSIX message queues"),
    "net": NamespaceOption("-n", "--net", "network"),
    "pid": NamespaceOption("-p", "--pid", "process ids, of the children"),
    "user": NamespaceOption("-U", "--user", "user and group ids, and privileges"),
    "cgroup": NamespaceOption("-C", "--cgroup", "the root of the cgroups"),
    "time": NamespaceOption("-T", "--time", "monotonic and boot time, of the children"),
}
"""By the name of the kind in /proc/PID/ns."""
