"""A cgroup (version 2) of our own, which does not outlive its maker for long (cgroups(7)).

A maker holds a lock, flock(2) on the folder, until it has removed its cgroup. The kernel releases the lock when the maker ends,
however it ends. So a folder that has a name of ours, no lock and no processes is left over, and the next maker removes it.

A new folder has no lock yet for a moment, and another maker may take it for one that is left over. Its maker sees this, as it
does not get the lock, or gets the lock of a folder that is gone; it makes another.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import tempfile
import time
from functools import partial
from pathlib import Path

from kthreads import deadline, procfs
from kthreads.descriptors import Descriptors

__all__ = ["OwnCgroup"]

_PREFIX = "kthreads-own-"
_NAME = re.compile(re.escape(_PREFIX) + "[a-z0-9_]{8}")  # as mkdtemp makes it
_DYING_S = 10  # how long processes that were killed may take to be gone
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class OwnCgroup:
    """A new cgroup, in a folder in which those are removed first that killed makers have left.

    Args:
        folder: that of the cgroup in which it is made.

    Raises:
        OSError: it cannot be made there.

    Attributes:
        path: its folder.
    """

    def __init__(self, folder: Path) -> None:
        _remove_left_over(folder)
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=folder))
            try:
                lock = _lock(self.path)
            except OSError:
                self.path.rmdir()
                raise
            if lock is not None:
                self._lock = lock
                return

    def remove(self) -> None:
        """Kills what is in it (Linux 5.14), and removes it with all cgroups below it.

        Raises:
            OSError: EBUSY: processes are still in it after 10 seconds.
        """
        with self._lock, contextlib.suppress(FileNotFoundError):
            if (self.path / "cgroup.kill").exists():
                (self.path / "cgroup.kill").write_text("1")
            _remove_when_empty(self.path)


def _lock(path: Path) -> Descriptors | None:
    """Locks a cgroup until the result is closed. None: it is gone, or another process has the lock."""
    lock = Descriptors()
    try:
        fd = lock.open(os.open, path, _FOLDER)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, FileNotFoundError):
        return None
    return lock if path.exists() else None


def _remove_left_over(folder: Path) -> None:
    """Removes the cgroups whose makers have ended. Those that it cannot remove stay, such as another user's."""
    with contextlib.suppress(OSError):
        for name in filter(_NAME.fullmatch, os.listdir(folder)):
            with contextlib.suppress(OSError):
                _remove_if_left_over(folder / name)


def _remove_if_left_over(path: Path) -> None:
    lock = _lock(path)
    if lock is not None:
        with lock:
            if "populated 0" in procfs.read(path / "cgroup.events"):  # of those below, too
                _remove(path)


def _remove_when_empty(path: Path) -> None:
    """Removes a cgroup; what was killed may take a moment to be gone."""
    limit = deadline.after(_DYING_S)
    while True:
        try:
            _remove(path)
        except OSError as error:
            if error.errno != errno.EBUSY or deadline.has_passed(limit):
                raise
            time.sleep(0.005)
        else:
            return


def _remove(path: Path) -> None:
    """Removes a cgroup and all below it, the deepest first. Holds few descriptors and no long path, for a program can make them
    deeper than either reaches."""
    below: list[str] = []  # the names on the way from the path to here
    with Descriptors() as here:
        here.open(os.open, path, _FOLDER)
        while True:
            name = _folder_in(here[0])
            if name is not None:
                below.append(name)
                _move(here, name)
            elif below:
                _move(here, "..")
                os.rmdir(below.pop(), dir_fd=here[0])
            else:
                break
    path.rmdir()


def _move(here: Descriptors, name: str) -> None:
    """Opens a folder in the place of the one from which its name leads to it."""
    with Descriptors() as before:
        before.extend(map(here.pop, (-1,)))
        here.open(partial(os.open, dir_fd=before[0]), name, _FOLDER)


def _folder_in(folder: int) -> str | None:
    """The name of a folder in a folder, if there is any."""
    with os.scandir(folder) as entries:
        return next((each.name for each in entries if each.is_dir(follow_symlinks=False)), None)
