"""What `kthreads run` mounts: the options for it, with the names of docker and bubblewrap, and the mounts that they make."""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable
from typing import Any

from kthreads.cli.binds import bind, target_of
from kthreads.cli.long_mount import long_mount
from kthreads.cli.values import mode, size
from kthreads.processes.mounts import Bind, Dev, Device, Directory, Mount, Symlink, Sys, Tmpfs

__all__ = ["add_mount_options", "mounts_of"]


def mounts_of(options: argparse.Namespace, console: str | None) -> list[Mount]:
    """All mounts, those of upper folders first, so that none hides another; on the same folder in the order given.

    Args:
        options: of the command.
        console: the terminal of the program, if it has one.
    """
    first: list[Mount] = []
    if options.root is not None:
        first.append(Dev())
        if console is not None:
            first.append(Bind(console, "/dev/console", devices=True))
    if options.add_sys:
        first.append(Sys())
    if options.read_only and os.path.isdir(os.path.join(options.root or "/", "tmp")):
        first.append(Tmpfs("/tmp", mode=0o1777))
    return sorted([*first, *options.mounts], key=lambda mount: os.path.normpath(mount.target).count("/"))


def _device(text: str) -> Device | Bind:
    source, *rest = text.split(":")
    rights = rest.pop() if rest and not rest[-1].startswith("/") else "rw"
    target = rest.pop() if rest else source
    if rest or not {"r", "w"} <= set(rights) <= {"r", "w", "m"}:
        raise argparse.ArgumentTypeError(f"not SOURCE, SOURCE:TARGET or SOURCE:TARGET:rwm: {text!r}")
    if os.path.isdir(source):
        return Bind(source, target_of(target), devices=True)
    if not os.path.exists(source) or os.path.isfile(source):
        raise argparse.ArgumentTypeError(f"there is no device {source}")
    return Device(source, target_of(target))


def _settings(text: str, types: dict[str, Callable[[str], int]]) -> tuple[str, dict[str, int]]:
    """A target and what is said of it: DIR:NAME=VALUE,…"""
    target, _, words = text.partition(":")
    settings: dict[str, int] = {}
    for word in filter(None, words.split(",")):
        name, _, value = word.partition("=")
        if name not in types:
            known = ",".join(f"{each}={each.upper()}" for each in types)
            raise argparse.ArgumentTypeError(f"not DIR or DIR:{known}: {text!r}")
        settings[name] = types[name](value)
    return target_of(target), settings


def _tmpfs(text: str) -> Tmpfs:
    target, settings = _settings(text, {"size": size, "mode": mode})
    return Tmpfs(target, **settings)


def _directory(text: str) -> Directory:
    target, settings = _settings(text, {"mode": mode})
    return Directory(target, **settings)


def _symlink(text: str) -> Symlink:
    source, colon, target = text.partition(":")
    if not source or not colon:
        raise argparse.ArgumentTypeError(f"not SOURCE:TARGET, where the link is at TARGET: {text!r}")
    return Symlink(source, target_of(target))


def add_mount_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    add = functools.partial(parser.add_argument_group("files").add_argument, dest="mounts", action="append", default=[])
    binds: list[tuple[list[str], dict[str, Any], str]] = [
        (
            ["-v", "--bind", "--volume"],
            {},
            "SRC of the host, seen at DST; with device nodes, set-user-id bits, and the ids of the user namespace",
        ),
        (["--ro-bind"], {"read_only": True}, "the same, read-only"),
        (["--dev-bind"], {"devices": True}, "the same, with device nodes"),
    ]
    for words, settings, does in binds:
        add(*words, type=functools.partial(bind, **settings), metavar="SRC[:DST[:ro,dev,suid,idmap]]", help=does)
        of_try = functools.partial(bind, missing_ok=True, **settings)
        add(
            f"{words[-1] if len(words) == 1 else '--bind'}-try",
            type=of_try,
            metavar="SRC[:DST]",
            help="if there is SRC",
        )
    add("--device", type=_device, metavar="SRC[:DST]", help="a device of the host")
    add("--dir", type=_directory, metavar="DIR[:mode=MODE]", help="a folder, which is made where there is none")
    add("--symlink", type=_symlink, metavar="SRC:DST", help="a symbolic link at DST that leads to SRC")
    add("--tmpfs", type=_tmpfs, metavar="DIR[:size=SIZE,mode=MODE]", help="an empty file system in memory at DIR")
    add(
        "--mount",
        type=long_mount,
        metavar="type=TYPE,KEY=VALUE…",
        help="the long form: type=bind,src=SRC,dst=DST,ro,dev,suid,idmap or type=tmpfs,dst=DIR,size=SIZE,mode=MODE",
    )
