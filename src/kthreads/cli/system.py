"""The system calls that Python has no function for, by libc's own or the engine's."""

from __future__ import annotations

import os
from typing import Any

from kthreads._native import ffi, lib
from kthreads.functions.function import NativeFunction
from kthreads.functions.symbol import symbol

__all__ = ["enter_in_root", "keep_capabilities", "mount", "set_not_dumpable", "set_parent_death_signal", "write"]

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4  # linux/prctl.h

_mount = symbol(None, "mount", "int(const char *, const char *, const char *, unsigned long, const void *)")
_prctl = symbol(None, "prctl", "int(int, unsigned long, unsigned long, unsigned long, unsigned long)")


def _call(function: NativeFunction, *arguments: Any, doing: str, path: str | None = None) -> None:
    call = function.bind(arguments)
    if call.run() != 0:
        raise OSError(call.errno, f"{doing}: {os.strerror(call.errno)}", path)


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    """mount(2); OSError with what was to be mounted where."""
    _call(_mount, source, target, kind, flags, data, doing=f"cannot mount {source}", path=target)


def set_parent_death_signal(number: int) -> None:
    """The signal that this process gets when the thread that made it ends (prctl(2), PR_SET_PDEATHSIG)."""
    _call(_prctl, _PR_SET_PDEATHSIG, number, 0, 0, 0, doing="prctl")


def set_not_dumpable() -> None:
    """Keeps others from tracing and reading this process until it executes a program (prctl(2), PR_SET_DUMPABLE)."""
    _call(_prctl, _PR_SET_DUMPABLE, 0, 0, 0, 0, doing="prctl")


def enter_in_root(path: str) -> None:
    """Changes to a folder of a root that an enemy may have filled: no link of /proc leads there, and it lies under the root."""
    code = lib.kt_enter_in_root(ffi.new("char[]", os.fsencode(path)))
    if code < 0:
        raise OSError(-code, os.strerror(-code), path)


def keep_capabilities() -> None:
    """Has the program that this process executes keep its capabilities, whatever its user is (capabilities(7), ambient)."""
    code = lib.kt_keep_capabilities()
    if code < 0:
        raise OSError(-code, f"cannot keep capabilities: {os.strerror(-code)}")


def write(path: str, text: str) -> None:
    """Writes a text to a file of /proc, at once; OSError with both."""
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, text.encode())
    except OSError as error:
        raise OSError(error.errno, f"cannot write {text!r}: {error.strerror}", path) from None
    finally:
        os.close(fd)
