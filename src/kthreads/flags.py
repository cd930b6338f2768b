"""The flags of clone(2): what a new thread or process shares with its creator."""

from __future__ import annotations

import enum


class CloneFlags(enum.IntFlag):
    """Flags of clone(2) and clone3(2), as in linux/sched.h, without the prefix ``CLONE_``."""

    NEWTIME = 0x00000080
    VM = 0x00000100
    FS = 0x00000200
    FILES = 0x00000400
    SIGHAND = 0x00000800
    PIDFD = 0x00001000
    PTRACE = 0x00002000
    VFORK = 0x00004000
    PARENT = 0x00008000
    THREAD = 0x00010000
    NEWNS = 0x00020000
    SYSVSEM = 0x00040000
    SETTLS = 0x00080000
    PARENT_SETTID = 0x00100000
    CHILD_CLEARTID = 0x00200000
    DETACHED = 0x00400000
    UNTRACED = 0x00800000
    CHILD_SETTID = 0x01000000
    NEWCGROUP = 0x02000000
    NEWUTS = 0x04000000
    NEWIPC = 0x08000000
    NEWUSER = 0x10000000
    NEWPID = 0x20000000
    NEWNET = 0x40000000
    IO = 0x80000000
    CLEAR_SIGHAND = 0x100000000
    INTO_CGROUP = 0x200000000


SHARE_ALL = CloneFlags.FS | CloneFlags.FILES | CloneFlags.SYSVSEM
"""What a pthread shares beyond memory and signal handlers: cwd and umask, descriptors, semaphore undo lists."""

THREAD_NAMESPACES = CloneFlags.NEWNS | CloneFlags.NEWUTS | CloneFlags.NEWIPC | CloneFlags.NEWNET | CloneFlags.NEWCGROUP
"""The namespaces that the kernel lets a thread have of its own (clone(2), EINVAL)."""


def check_thread_flags(share: CloneFlags, namespaces: CloneFlags) -> int:
    """The two as one number for clone; ValueError with the rule that they break.

    Args:
        share: any of FS, FILES and SYSVSEM.
        namespaces: any of `THREAD_NAMESPACES`.
    """
    share, namespaces = CloneFlags(share), CloneFlags(namespaces)
    if share & ~SHARE_ALL:
        raise ValueError(f"share= takes FS, FILES and SYSVSEM, not {share & ~SHARE_ALL!r}: threads share the rest")
    if namespaces & ~THREAD_NAMESPACES:
        raise ValueError(
            f"namespaces= takes NEWNS, NEWUTS, NEWIPC, NEWNET and NEWCGROUP, not {namespaces & ~THREAD_NAMESPACES!r}: "
            "the kernel refuses those with CLONE_THREAD"
        )
    if namespaces & CloneFlags.NEWNS and share & CloneFlags.FS:
        raise ValueError("a thread with a mount namespace of its own (NEWNS) cannot share FS: leave FS out of share=")
    if namespaces & CloneFlags.NEWIPC and share & CloneFlags.SYSVSEM:
        raise ValueError(
            "a thread with an IPC namespace of its own (NEWIPC) cannot share SYSVSEM: leave it out of share="
        )
    return int(share | namespaces)
