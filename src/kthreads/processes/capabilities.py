"""Capabilities by name (capabilities(7))."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["ALL", "CAPABILITIES", "capability_mask"]

# In the order of their numbers (linux/capability.h).
# fmt: off
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
    "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
    "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
    "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
    "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
    "CHECKPOINT_RESTORE",
)
# fmt: on
ALL = (1 << 64) - 1


def capability_mask(names: Iterable[str] | str) -> int:
    """A bit for each; with or without ``CAP_``, in any case. "all" is all.

    Raises:
        ValueError: there is none of that name.
    """
    if isinstance(names, str):
        if names.lower() == "all":
            return ALL
        names = [names]
    if not isinstance(names, Iterable):
        raise TypeError(f"capabilities must be a list of names, not {names!r}")
    mask = 0
    for name in names:
        if not isinstance(name, str):
            raise TypeError(f"a capability must be a name, such as NET_ADMIN, not {name!r}")
        try:
            mask |= 1 << CAPABILITIES.index(name.upper().removeprefix("CAP_"))
        except ValueError:
            raise ValueError(f"there is no capability {name!r} (capabilities(7))") from None
    return mask
