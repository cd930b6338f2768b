"""Mounts in the long form of docker, whose paths may have colons in them: type=bind,src=/a:b,dst=/c,ro."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from kthreads.cli.binds import bind_of, target_of
from kthreads.cli.values import mode, number, size
from kthreads.processes.idmap import HIGHEST
from kthreads.processes.mounts import Mount, Tmpfs

__all__ = ["long_mount"]

_TRUE, _FALSE = ("", "true", "1"), ("false", "0")
_id = number("id", 0, HIGHEST)


def _text(text: str) -> str:
    return text


def _flag(text: str) -> bool:
    if text not in _TRUE + _FALSE:
        raise argparse.ArgumentTypeError(f"not true or false: {text!r}")
    return text in _TRUE


def _id_maps(text: str) -> dict[str, Any]:
    """The maps of a bind's ids: those of the container, or ranges as podman writes them, uids=0-1000-1#1-2000-9;gids=…"""
    if text in _TRUE:
        return {"uid_map": "process", "gid_map": "process"}
    maps = {}
    for part in text.split(";"):
        name, _, ranges = part.partition("=")
        rows = [each.split("-") for each in ranges.split("#")]
        if name not in ("uids", "gids") or any(len(row) != 3 for row in rows):
            raise argparse.ArgumentTypeError(
                f"not uids=ID-ID-COUNT#…;gids=…, of ids in the files and on the host: {text!r}"
            )
        maps[f"{name[:3]}_map"] = [(_id(first), _id(start), _id(count)) for first, start, count in rows]
    return maps


_Setting = tuple[str, Callable[[str], Any]]
_SOURCE: _Setting = ("source", _text)
_TARGET: _Setting = ("target", target_of)
_READ_ONLY: _Setting = ("read_only", _flag)
_TARGETS = {"target": _TARGET, "destination": _TARGET, "dst": _TARGET}
_TYPES: dict[str, tuple[Callable[..., Mount], dict[str, _Setting]]] = {
    "bind": (
        bind_of,
        {
            "source": _SOURCE,
            "src": _SOURCE,
            **_TARGETS,
            "readonly": _READ_ONLY,
            "ro": _READ_ONLY,
            "dev": ("devices", _flag),
            "suid": ("set_user_ids", _flag),
            "idmap": ("", _id_maps),
        },
    ),
    "tmpfs": (
        Tmpfs,
        {
            **_TARGETS,
            "size": ("size", size),
            "tmpfs-size": ("size", size),
            "mode": ("mode", mode),
            "tmpfs-mode": ("mode", mode),
        },
    ),
}
"""The types of mounts: what makes one, and for each key the setting and how its value is read."""


def _fields(text: str) -> dict[str, str]:
    import csv  # here, as most commands have no such mount

    try:
        return dict(field.partition("=")[::2] for field in next(csv.reader([text], strict=True)))
    except csv.Error as error:
        raise argparse.ArgumentTypeError(f"not KEY=VALUE,KEY=VALUE…: {text!r} ({error})") from None


def long_mount(text: str) -> Mount:
    """The type of an argument that is such a mount. A field with a comma in it is in double quotes, as in CSV."""
    fields = _fields(text)
    kind = fields.pop("type", "bind")
    if kind not in _TYPES:
        raise argparse.ArgumentTypeError(f"not a type of mount, which are {', '.join(_TYPES)}: {kind!r}")
    make, known = _TYPES[kind]
    settings: dict[str, Any] = {}
    for key, value in fields.items():
        if key not in known:
            raise argparse.ArgumentTypeError(f"a mount of type {kind} has no {key!r}: {text!r}")
        name, read = known[key]
        settings |= {name: read(value)} if name else read(value)
    for needed in ("source", "target"):
        if needed in known and needed not in settings:
            raise argparse.ArgumentTypeError(f"a mount of type {kind} needs {needed}=: {text!r}")
    return make(**settings)
