"""Small files of /proc, /sys and of cgroups."""

from __future__ import annotations

import os

__all__ = ["read"]


def read(path: str | os.PathLike[str]) -> str:
    """The text of a file, without white space at its ends; empty if it cannot be read.

    It takes system calls alone, as it is called before each process that is started.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        parts = []
        while part := os.read(descriptor, 65536):
            parts.append(part)
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    return b"".join(parts).decode(errors="replace").strip()
