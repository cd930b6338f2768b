"""The file systems of the kernel that `kthreads unshare` mounts: proc, and binfmt_misc with the formats of programs."""

from __future__ import annotations

import argparse
import errno
import os

from kthreads.cli import system
from kthreads.processes import mount_flags

__all__ = ["BINFMT", "load_format_before_root", "mount_kernel_files"]

BINFMT = "/proc/sys/fs/binfmt_misc"
_FLAGS = mount_flags.MS_NOSUID | mount_flags.MS_NOEXEC | mount_flags.MS_NODEV


def mount_kernel_files(options: argparse.Namespace, wd: str | None) -> None:
    """Mounts those that options ask for, and loads a format.

    Args:
        options: of the command.
        wd: the program's folder in a root of its own, which this process has entered; None where it has none.
    """
    if options.mount_proc is not None and wd is None and options.propagation != "private":
        _make_private(options.mount_proc)
    for kind, path in (("proc", options.mount_proc), ("binfmt_misc", options.mount_binfmt)):
        if path is not None:
            _mount(kind, path, wd)
    if options.load_interp is not None and not _is_loaded_before(options):
        _load(options.load_interp, _at(options.mount_binfmt, wd))


def load_format_before_root(options: argparse.Namespace) -> None:
    """Loads a format of the flag F before a root is entered: its interpreter is opened now, among the caller's files."""
    if _is_loaded_before(options):
        system.mount("binfmt_misc", BINFMT, "binfmt_misc", _FLAGS)
        _load(options.load_interp, BINFMT)


def _is_loaded_before(options: argparse.Namespace) -> bool:
    has_flags, flags = (options.load_interp or "").rpartition(":")[1:]
    return options.root is not None and bool(has_flags) and "F" in flags


def _load(definition: str, folder: str) -> None:
    system.write(os.path.join(folder, "register"), definition)


def _mount(kind: str, path: str, wd: str | None) -> None:
    target = _at(path, wd)
    try:
        system.mount(kind, target, kind, _FLAGS)
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from None


def _at(path: str, wd: str | None) -> str:
    """A path to use for one of the program, whose root this process may have entered, and then goes there."""
    if wd is None:
        return path
    system.enter_in_root(path and os.path.join(wd, path))
    return "."


def _make_private(target: str) -> None:
    """Makes a mount private; nothing where the folder is no mount."""
    try:
        system.mount("none", target, flags=mount_flags.MS_PRIVATE | mount_flags.MS_REC)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
