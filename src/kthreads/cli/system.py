"""The system calls that Python has no function for, by libc's own."""

from __future__ import annotations

import os
from typing import Any

from kthreads.functions.function import NativeFunction
from kthreads.functions.symbol import symbol

__all__ = ["mount", "set_not_dumpable", "set_parent_death_signal"]

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4  # linux/prctl.h

_mount = symbol(None, "mount", "int(const char *, const char *, const char *, unsigned long, const void *)")
_prctl = symbol(None, "prctl", "int(int, unsigned long, unsigned long, unsigned long, unsigned long)")


def _call(function: NativeFunction, *arguments: Any, doing: str) -> None:
    call = function.bind(arguments)
    if call.run() != 0:
        raise OSError(call.errno, f"{doing}: {os.strerror(call.errno)}")


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """mount(2); OSError with what was to be mounted where."""
    _call(_mount, source, target, kind, flags, data, doing=f"mount {source} on {target}")


def set_parent_death_signal(number: int) -> None:
    """The signal that this process gets when the thread that made it ends (prctl(2), PR_SET_PDEATHSIG)."""
    _call(_prctl, _PR_SET_PDEATHSIG, number, 0, 0, 0, doing="prctl")


def set_not_dumpable() -> None:
    """Keeps others from tracing and reading this process until it executes a program (prctl(2), PR_SET_DUMPABLE)."""
    _call(_prctl, _PR_SET_DUMPABLE, 0, 0, 0, 0, doing="prctl")
