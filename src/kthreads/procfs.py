"""Small files of /proc, /sys and of cgroups."""

from __future__ import annotations

import os

__all__ = ["read"]


def read(path: str | os.PathLike[str]) -> str:
    """The text of a file, without white space at its ends; empty if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""
