"""The flags of clone(2): what a new thread or process shares with its creator."""

from __future__ import annotations

import enum
from signal import SIGCHLD


class CloneFlags(enum.IntFlag):
    """Flags of clone(2), clone3(2) and unshare(2), as in linux/sched.h of Linux 7.1, without the prefix ``CLONE_``.

    The flags of `CLONE3_ONLY` do not fit into clone(2). `kthreads.explain` says what each flag does.
    """

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
    AUTOREAP = 0x400000000
    NNP = 0x800000000
    PIDFD_AUTOKILL = 0x1000000000
    EMPTY_MNTNS = 0x2000000000


CLONE3_ONLY = (
    CloneFlags.NEWTIME
    | CloneFlags.CLEAR_SIGHAND
    | CloneFlags.INTO_CGROUP
    | CloneFlags.AUTOREAP
    | CloneFlags.NNP
    | CloneFlags.PIDFD_AUTOKILL
    | CloneFlags.EMPTY_MNTNS
)
"""The flags that only clone3 carries: clone(2) takes 32 bits, and their low byte is the exit signal."""

KINDS = {
    "user": CloneFlags.NEWUSER,
    "mnt": CloneFlags.NEWNS,
    "uts": CloneFlags.NEWUTS,
    "ipc": CloneFlags.NEWIPC,
    "pid": CloneFlags.NEWPID,
    "net": CloneFlags.NEWNET,
    "cgroup": CloneFlags.NEWCGROUP,
    "time": CloneFlags.NEWTIME,
}
"""The kinds of namespaces, by their names in /proc/PID/ns, and the flag of each (namespaces(7))."""

NAMESPACES = CloneFlags(sum(KINDS.values()))
"""The flags of all eight kinds of namespaces."""

SHARE_ALL = CloneFlags.FS | CloneFlags.FILES | CloneFlags.SYSVSEM
"""What a pthread shares besides memory and signal handlers: cwd and umask, descriptors, semaphore undo lists."""

THREAD_NAMESPACES = CloneFlags.NEWNS | CloneFlags.NEWUTS | CloneFlags.NEWIPC | CloneFlags.NEWNET | CloneFlags.NEWCGROUP
"""The namespaces that a thread can have of its own (clone(2), EINVAL)."""


def flags_of(value: CloneFlags | int) -> CloneFlags:
    """The flags that a number stands for.

    Raises:
        TypeError, ValueError: the value is not an int, or does not fit into 64 unsigned bits (struct clone_args).
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"flags must be CloneFlags or an int, not {type(value).__name__}")
    if not 0 <= value < 1 << 64:
        raise ValueError(f"flags must be a 64-bit number, 0 or more, not {int(value):#x}")
    return CloneFlags(value)


def all_but(flags: CloneFlags) -> CloneFlags:
    """All bits except these. ~ on flags gives only the bits that have names, and a caller may pass others."""
    return CloneFlags(~int(flags) & 0xFFFF_FFFF_FFFF_FFFF)


_SET_BY_LIBRARY = (
    CloneFlags.SETTLS
    | CloneFlags.PARENT_SETTID
    | CloneFlags.CHILD_SETTID
    | CloneFlags.CHILD_CLEARTID
    | CloneFlags.PIDFD
    | CloneFlags.DETACHED
)
_ALLOWED_FOR_PYTHON = NAMESPACES | CloneFlags.CLEAR_SIGHAND | CloneFlags.INTO_CGROUP


def check_process_flags(flags: CloneFlags, *, python: bool, exit_signal: int) -> CloneFlags:
    """Returns the flags for a process that runs a native function or a Python callable.

    Raises:
        ValueError: the flags break a rule; the message says which.
    """
    if flags & CloneFlags.THREAD:
        raise ValueError("CLONE_THREAD makes a thread of this process: use kthreads.Thread")
    if flags & _SET_BY_LIBRARY:
        raise ValueError(f"{flags & _SET_BY_LIBRARY!r} cannot be passed: kthreads sets it where needed")
    if not isinstance(exit_signal, int):
        raise TypeError(f"exit_signal must be a signal or 0, not {exit_signal!r}")
    if not 0 <= exit_signal <= 64:
        raise ValueError(f"exit_signal must be a signal or 0, not {exit_signal}")
    if flags & CloneFlags.PARENT and exit_signal:
        raise ValueError("with CLONE_PARENT the child has this process's exit signal: pass exit_signal=0")
    if python and (extra := flags & all_but(_ALLOWED_FOR_PYTHON)):
        raise ValueError(
            f"a Python callable cannot run with {extra!r}: only fork(3) leaves libc's locks free and "
            "runs the fork handlers, and a child of fork shares nothing; use a native function or exec"
        )
    if python and exit_signal != SIGCHLD:
        raise ValueError("fork(3) creates the process of a Python callable, with the exit signal SIGCHLD")
    return flags
