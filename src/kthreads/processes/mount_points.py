"""How mounts are made, and put into their places."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from typing import Any

from kthreads.errors import process_error
from kthreads.processes.checks import check_path
from kthreads.processes.child_steps import Steps
from kthreads.processes.kernel_files import KernelFiles
from kthreads.processes.mount_flags import ATTR_NODEV, ATTR_NOSUID
from kthreads.record import Record

__all__ = [
    "STAGES",
    "Place",
    "Setup",
    "absolute",
    "attach",
    "attach_kernel_files",
    "attributes_of",
    "check_mode",
    "make_parents",
    "on_host",
]

STAGES = ("/tmp", "/run", "/var", "/proc", "/dev")
"""Folders on which something is mounted for a moment."""


class Setup(Record):
    """What mounts are made with.

    Attributes:
        steps: to add to.
        in_user_namespace: whether the process is in a user namespace of its own, which has fewer rights on file systems.
        taken: descriptors of the files of binds that were taken already, as their ids are mapped (mapped_files.py).
    """

    steps: Steps
    in_user_namespace: bool
    taken: Mapping[Any, int]


Place = Callable[[bool, KernelFiles | None], None]
"""Puts a mount into its place; told whether its mount point is to be made, and what protects the kernel's files in it.
Each kind of mount has a method `take`, which adds the steps that make or take it, and returns what adds these."""


def attach(steps: Steps, slot: int, target: str, is_folder: bool = True) -> Place:
    def place(make: bool, _: KernelFiles | None = None) -> None:
        if make:
            make_point(steps, target, is_folder)
        steps.attach(slot, target)

    return place


def attach_kernel_files(steps: Steps, slot: int, target: str, kind: str) -> Place:
    put = attach(steps, slot, target)

    def place(make: bool, kernel_files: KernelFiles | None) -> None:
        put(make, kernel_files)
        if kernel_files is not None:
            kernel_files.protect(kind, slot)

    return place


def make_parents(steps: Steps, path: str) -> None:
    names = path.strip("/").split("/")
    for end in range(1, len(names)):
        steps.mkdir("/" + "/".join(names[:end]))


def make_point(steps: Steps, target: str, is_folder: bool) -> None:
    make_parents(steps, target)
    if is_folder:
        steps.mkdir(target)
    else:
        steps.mkfile(target)


def absolute(path: str | os.PathLike[str], what: str = "target") -> str:
    text = os.path.normpath(check_path(what, path))
    if not os.path.isabs(text) or text.strip("/") == "":  # normpath leaves two slashes
        raise ValueError(f"{what} must be an absolute path below /, not {os.fspath(path)!r}")
    return text


def on_host(path: str | os.PathLike[str]) -> str:
    """The absolute path of a file of the host."""
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        does = f"find {os.fspath(path)}: the working directory was deleted"
        raise process_error(errno.ENOENT, does, filename=None, path=os.fspath(path)) from None


def check_mode(mode: int) -> None:
    if not isinstance(mode, int) or not 0 <= mode <= 0o7777:
        raise ValueError(f"mode must be bits of permissions, such as 0o755, not {mode!r}")


def attributes_of(devices: bool, set_user_ids: bool) -> int:
    """What a mount of files that an enemy may have made does not allow."""
    return (0 if devices else ATTR_NODEV) | (0 if set_user_ids else ATTR_NOSUID)
