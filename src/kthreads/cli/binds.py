"""Binds on a command line: a file of the host, and where it is seen."""

from __future__ import annotations

import argparse
import os
from typing import Any

from kthreads.processes.mounts import Bind

__all__ = ["bind", "bind_of", "target_of"]

_OPTIONS: dict[str, dict[str, Any]] = {
    "ro": {"read_only": True},
    "rw": {"read_only": False},
    "dev": {"devices": True},
    "suid": {"set_user_ids": True},
    "idmap": {"uid_map": "process", "gid_map": "process"},
}
"""The words after a bind's target, and what each sets."""


def target_of(text: str) -> str:
    """Where something is mounted."""
    path = os.path.normpath(text)
    if not os.path.isabs(text) or path.strip("/") == "":
        raise argparse.ArgumentTypeError(f"not an absolute path below /: {text!r}")
    return path


def bind(text: str, **settings: Any) -> Bind:
    """The type of an argument that is a bind: SOURCE, SOURCE:TARGET or SOURCE:TARGET:OPTIONS."""
    source, *rest = text.split(":")
    target = rest[0] if rest else source
    words = set(rest[1].split(",")) if len(rest) == 2 else set()
    if len(rest) > 2 or not source or words - set(_OPTIONS):
        raise argparse.ArgumentTypeError(
            f"not SOURCE:TARGET or SOURCE:TARGET:OPTIONS, of the options {', '.join(_OPTIONS)}: {text!r} "
            "(--mount takes paths with a colon)"
        )
    for word in words:
        settings = _OPTIONS[word] | settings  # what the name of the option says holds
    return bind_of(source, target_of(target), **settings)


def bind_of(source: str, target: str, **settings: Any) -> Bind:
    """A bind of a source that is there, or need not be."""
    try:
        made = Bind(source, target, **settings)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not os.path.exists(source) and not made.missing_ok:
        raise argparse.ArgumentTypeError(f"there is no {source}")
    return made
