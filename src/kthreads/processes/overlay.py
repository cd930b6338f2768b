"""Folders on top of one another."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence

from kthreads.processes.checks import check_path
from kthreads.processes.kernel_files import is_at_or_below
from kthreads.processes.mount_flags import ATTR_RDONLY, MNT_DETACH
from kthreads.processes.mount_points import STAGES, Place, Setup, absolute, attach, attributes_of, on_host
from kthreads.record import Record

__all__ = ["Overlay"]

_LONGEST_OPTION = 255  # of fsconfig(2)
_IN_USER_NAMESPACE = " (a user namespace needs Linux 5.11, and folders without mounts below them)"


def _escaped(folder: str) -> str:
    r"""A folder as overlayfs reads it: it splits lists at ":", and takes "\" off."""
    return re.sub(r"[\\:]", r"\\\g<0>", folder)


class Overlay(Record):
    """Folders on top of one another (overlayfs). As `root=` with the target "/".

    Attributes:
        target: where.
        lower: the folders that are read, the topmost first.
        upper: the folder that is written to, which keeps all changes. Without it, nothing can be written.
        work: an empty folder beside `upper`, for overlayfs's own use.
        temporary: whether all that is written goes to memory and is gone when the process ends; instead of `upper` and
            `work`.
        devices, set_user_ids: as of `Bind`.

    In a user namespace of its own it needs Linux 5.11, and none of the folders may have mounts below it that the process
    inherits.
    """

    target: str
    lower: Sequence[str | os.PathLike[str]]
    upper: str | os.PathLike[str] | None = None
    work: str | os.PathLike[str] | None = None
    devices: bool = False
    set_user_ids: bool = False
    temporary: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.lower, str | bytes | os.PathLike):
            raise TypeError(f"lower must be a list of folders, not {self.lower!r}")
        object.__setattr__(self, "lower", tuple(self.lower))
        for folder in self.lower:
            check_path("each of lower", folder)
        for name, given in (("upper", self.upper), ("work", self.work)):
            if given is not None:
                check_path(name, given)
        if (self.upper is None) != (self.work is None):
            raise ValueError("upper= and work= go together: what is written goes through the one into the other")
        if self.temporary and self.upper is not None:
            raise ValueError("temporary= is instead of upper= and work=")
        if len(self.lower) < (2 if self.upper is None and not self.temporary else 1):
            raise ValueError("an overlay is of two folders or more, or of one with upper= and work=, or temporary=True")

    def take(self, setup: Setup) -> Place:
        target = absolute(self.target)
        return attach(setup.steps, self.make(setup), target)

    def make(self, setup: Setup, *, read_only: bool = False) -> int:
        """Makes it; returns its slot."""
        lower = [on_host(folder) for folder in self.lower]
        attributes = attributes_of(self.devices, self.set_user_ids) | (ATTR_RDONLY if read_only else 0)
        if self.temporary:
            stage = next(each for each in STAGES if os.path.isdir(each) and not _is_below_any(lower, each))
            return self._make_on(setup, lower, attributes, stage)
        upper = [] if self.upper is None or self.work is None else [on_host(self.upper), on_host(self.work)]
        return self._make(setup, lower, upper, attributes)

    def _make(self, setup: Setup, lower: list[str], upper: list[str], attributes: int) -> int:
        joined = ":".join(map(_escaped, lower))
        fits = len(os.fsencode(joined)) <= _LONGEST_OPTION
        # One option for each folder is of Linux 6.8. They are not escaped.
        options = [("lowerdir", joined)] if fits else [("lowerdir+", folder) for folder in lower]
        options += zip(("upperdir", "workdir"), map(_escaped, upper), strict=False)
        if setup.in_user_namespace and upper:
            options.append(("userxattr", ""))  # only the host's root may write the other attributes
        note = _IN_USER_NAMESPACE if setup.in_user_namespace else ""
        return setup.steps.filesystem("overlay", options, attributes, target=self.target, note=note)

    def _make_on(self, setup: Setup, lower: list[str], attributes: int, stage: str) -> int:
        """Makes it with the upper folder on a new tmpfs, which is mounted at `stage` meanwhile."""
        steps, upper, work = setup.steps, f"{stage}/upper", f"{stage}/work"
        steps.attach(steps.filesystem("tmpfs", {"mode": "755"}, target=stage), stage)
        steps.mkdir(upper, _mode_of(lower[0]))
        steps.mkdir(work)
        slot = self._make(setup, lower, [upper, work], attributes)
        steps.unmount(stage, MNT_DETACH)
        return slot


def _is_below_any(paths: list[str], folder: str) -> bool:
    return any(is_at_or_below(os.path.realpath(path), os.path.realpath(folder)) for path in paths)


def _mode_of(folder: str) -> int:
    """The mode of the upper folder is that of the whole."""
    try:
        return stat.S_IMODE(os.stat(folder).st_mode)
    except OSError:
        return 0o755  # the step that makes the overlay says so
