"""The file system that a process with a mount namespace of its own sees: a root, and what is mounted in it.

Everything is made or taken before the root changes, and put into its place after it (csrc/process/mounts.c says why).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Sequence

from kthreads.errors import process_error
from kthreads.processes.child_steps import Steps
from kthreads.processes.kernel_files import KernelFiles, is_at_or_below
from kthreads.processes.mount_flags import ATTR_RDONLY, MS_PRIVATE, MS_REC
from kthreads.processes.mount_points import STAGES, Setup
from kthreads.processes.mounts import Bind, Directory, Mount, Overlay, Symlink, Tmpfs

__all__ = ["Root", "add_file_system", "check_mounts"]

_MADE = Directory | Symlink  # made in what is mounted already
Root = str | os.PathLike[str] | Bind | Tmpfs | Overlay


def check_mounts(mounts: Iterable[Mount]) -> tuple[Mount, ...]:
    """Those that are to be made: without the binds of what is not there, and may be missing.

    Raises:
        TypeError: one is no mount.
    """
    if isinstance(mounts, str | bytes) or not isinstance(mounts, Iterable):
        raise TypeError(f"mounts must be a list of mounts, such as [Bind(source, target)], not {mounts!r}")
    mounts = tuple(mounts)
    for mount in mounts:
        if not isinstance(mount, Mount):
            raise TypeError(
                f"each of mounts must be one of kthreads.mounts, such as Bind(source, target), not {mount!r}"
            )
    return tuple(mount for mount in mounts if not isinstance(mount, Bind) or not mount.is_left_out)


def _covering(mounts: Iterable[Mount]) -> list[Mount]:
    """Those that hide what was at their targets before."""
    return [mount for mount in mounts if not isinstance(mount, _MADE)]


def _seen_from(folder: str, mounts: Sequence[Mount]) -> str:
    """What to change to, so that a folder that was mounted over is seen as it is now: itself, or the mount that hides it."""
    for mount in reversed(mounts):
        below = folder.removeprefix(mount.target.rstrip("/") + "/")
        if below != folder:
            is_there = isinstance(mount, Bind) and os.path.isdir(os.path.join(mount.source, below))
            return folder if is_there else mount.target
    return folder


def _enter_again(steps: Steps, mounts: Sequence[Mount]) -> None:
    """Enters the working directory as it is now. One that was deleted is left as it is."""
    try:
        folder = os.getcwd()
    except FileNotFoundError:
        return
    steps.chdir(_seen_from(folder, mounts))


def _refuse_changes_of_host(mounts: Sequence[Mount]) -> None:
    """Without a new root, folders and links are made in what was mounted for the process before."""
    for count, mount in enumerate(mounts):
        above = [each.target for each in _covering(mounts[:count])]
        if isinstance(mount, _MADE) and not any(is_at_or_below(mount.target, target) for target in above):
            raise ValueError(f"{mount} would change the host: mount something above it before, or give root=")


def _take_root(setup: Setup, root: Root, read_only: bool) -> int:
    if isinstance(root, Tmpfs):
        return root.make(setup)
    if isinstance(root, Overlay):
        return root.make(setup, read_only=read_only)
    bind = root if isinstance(root, Bind) else Bind(root, "/")
    if os.path.exists(bind.source) and not os.path.isdir(bind.source):
        raise process_error(errno.ENOTDIR, f"make {bind.source} the root", filename=None, path=os.fspath(bind.source))
    return bind.tree(setup, read_only=read_only)


def _protect_root(kernel_files: KernelFiles, root: Root | None, mounts: Iterable[Mount]) -> None:
    """Protects what comes with the root. In a file system of its own nothing does."""
    if not isinstance(root, Tmpfs | Overlay):
        source = root.source if isinstance(root, Bind) else root
        kernel_files.protect_below("/" if source is None else os.fspath(source), "/", [each.target for each in mounts])


def add_file_system(
    setup: Setup, root: Root | None, read_only: bool, mounts: Sequence[Mount], *, protects_kernel_files: bool
) -> None:
    """Adds the steps that make a file system of these.

    Args:
        setup: what the steps are added to; the process has a mount namespace of its own.
        root: the folder that becomes the root, or None to keep the host's.
        read_only: whether the root is, with all that is mounted in it; `mounts` have settings of their own.
        mounts: in the order that they are mounted in.
        protects_kernel_files: whether the kernel's files are kept from the program.
    """
    steps = setup.steps
    covering = _covering(mounts)
    # First of all: where the host shares its mounts, ours would come to be there, too.
    steps.mount(None, "/", None, MS_REC | MS_PRIVATE)
    kernel_files = KernelFiles(steps) if protects_kernel_files else None
    places = [mount.take(setup) for mount in mounts]
    if root is not None:
        stage = next(filter(os.path.isdir, STAGES))
        steps.attach(_take_root(setup, root, read_only), stage)
        steps.pivot(stage)
    else:
        _refuse_changes_of_host(mounts)
        if read_only:
            steps.attributes_at("/", ATTR_RDONLY, recursive=True)
    if kernel_files is not None:
        _protect_root(kernel_files, root, covering)
    for place in places:
        place(root is not None, kernel_files)
    if read_only and isinstance(root, Tmpfs):
        steps.attributes_at("/", ATTR_RDONLY)
    if root is None and mounts:
        _enter_again(steps, covering)
