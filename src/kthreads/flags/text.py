"""Converts flags to text and text to flags, and lists the flags that well-known callers of clone pass."""

from __future__ import annotations

import re
import signal
from typing import NamedTuple

from kthreads.flags.clone_flags import SHARE_ALL, CloneFlags

__all__ = ["CALLERS", "Caller", "callers", "parse", "signal_text", "text"]

F = CloneFlags


class Caller(NamedTuple):
    """The arguments that a well-known function passes to the kernel."""

    api: str
    flags: CloneFlags
    exit_signal: int
    source: str


_IN_PROCESS = SHARE_ALL | F.VM | F.SIGHAND | F.THREAD
_PTHREAD = _IN_PROCESS | F.SETTLS | F.PARENT_SETTID | F.CHILD_CLEARTID

CALLERS = {
    "pthread_create": Caller(
        "clone3",
        _PTHREAD,
        0,
        "glibc, nptl/pthread_create.c; by clone before glibc 2.34 and where clone3 is refused",
    ),
    "fork": Caller("clone", F.CHILD_SETTID | F.CHILD_CLEARTID, signal.SIGCHLD, "glibc, arch_fork"),
    "vfork": Caller("clone", F.VFORK | F.VM, signal.SIGCHLD, "the system call vfork; also CPython's subprocess"),
    "posix_spawn": Caller(
        "clone3",
        F.VM | F.VFORK,
        signal.SIGCHLD,
        "glibc, sysdeps/unix/sysv/linux/spawni.c; with CLONE_CLEAR_SIGHAND from glibc 2.38 on where possible",
    ),
    "musl_pthread_create": Caller("clone", _PTHREAD | F.DETACHED, 0, "musl, src/thread/pthread_create.c"),
    "go": Caller("clone", _IN_PROCESS, 0, "Go, src/runtime/os_linux.go: a new M"),
    "kthreads.Thread": Caller("clone", _PTHREAD | F.CHILD_SETTID, 0, "kthreads, csrc/thread/start.c"),
}
"""The well-known callers, by name."""


def callers(flags: CloneFlags, exit_signal: int) -> tuple[str, ...]:
    """The names of the well-known callers that pass exactly these."""
    return tuple(name for name, caller in CALLERS.items() if (caller.flags, caller.exit_signal) == (flags, exit_signal))


def text(flags: CloneFlags | int, exit_signal: int = 0) -> str:
    """Flags as text, such as ``CLONE_VM|CLONE_FS|SIGCHLD``; bits without a name become one number, no flags ``0``."""
    names = []
    rest = int(flags)
    for flag in CloneFlags:
        if flags & flag:
            names.append(f"CLONE_{flag.name}")
            rest &= ~int(flag)
    if rest:
        names.append(f"{rest:#x}")
    if exit_signal:
        names.append(signal_text(exit_signal))
    return "|".join(names) or "0"


def signal_text(number: int) -> str:
    """The name of a signal, such as ``SIGCHLD`` for 17; the number if it has no name."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return str(number)


def parse(words: str) -> tuple[int, int, str | None]:
    """Parses flags, an exit signal and, if a caller is named, its system call.

    Args:
        words: names of flags (``CLONE_VM`` or ``vm``), signals (``SIGCHLD``), callers (``fork``) and numbers, joined
            by ``|``, ``+``, commas or blanks.

    Raises:
        ValueError: a word is none of these.
    """
    flags, exit_signal, api = 0, 0, None
    for word in re.split(r"[|+,\s]+", words.strip()):
        name = word.upper().removeprefix("CLONE_")
        if word in CALLERS:
            caller = CALLERS[word]
            flags, exit_signal, api = flags | caller.flags, exit_signal or caller.exit_signal, caller.api
        elif name in CloneFlags.__members__:
            flags |= CloneFlags[name]
        elif word.upper() in signal.Signals.__members__:
            exit_signal = signal.Signals[word.upper()]
        elif re.fullmatch(r"0[xX][0-9a-fA-F]+|0|[1-9][0-9]*", word):
            flags |= int(word, 0)
        else:
            raise ValueError(f"{word!r} is not a flag, signal, number or known caller ({', '.join(CALLERS)})")
    return flags, int(exit_signal), api
