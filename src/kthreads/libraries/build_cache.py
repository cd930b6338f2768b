"""The folder of compiled libraries, which processes share and other users cannot write to."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kthreads.errors import BuildCacheError

__all__ = ["BuildCache"]

_UNFINISHED = ".unfinished-"
_ABANDONED_S = 24 * 3600  # the age of an unfinished build that no process works on any longer


class BuildCache:
    """The folder ``kthreads`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``. Each library has a folder in it.

    A build is made in an unfinished folder and then renamed, which is atomic: a process sees a whole library or none.

    Raises:
        BuildCacheError: the folder cannot be made, or others could have written to it; a PermissionError.
    """

    def __init__(self) -> None:
        stated = os.environ.get("XDG_CACHE_HOME", "")
        base = Path(stated) if os.path.isabs(stated) else Path.home() / ".cache"  # the standard ignores relative paths
        self.folder = base / "kthreads"
        try:
            base.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise self._refusal(error.errno or errno.EACCES, f"cannot be made ({error.strerror})") from None
        self._check()

    def _check(self) -> None:
        found = os.lstat(self.folder)
        if not stat.S_ISDIR(found.st_mode):
            raise self._refusal(errno.EPERM, "is not a folder")
        if found.st_uid != os.geteuid():
            raise self._refusal(errno.EPERM, f"belongs to user {found.st_uid}, not to user {os.geteuid()}")
        if stat.S_IMODE(found.st_mode) & 0o077:
            mode = f"{stat.S_IMODE(found.st_mode):04o}"
            raise self._refusal(
                errno.EPERM, f"is open to other users (mode {mode}; remove it, or set its mode to 0700)"
            )

    def _refusal(self, code: int, why: str) -> BuildCacheError:
        return BuildCacheError(
            code, f"the folder of compiled libraries {str(self.folder)!r} {why}: XDG_CACHE_HOME names another place"
        )

    @contextmanager
    def unfinished(self) -> Iterator[Path]:
        """A new folder to build in. It is removed at the end, unless `finish` has renamed it."""
        self._remove_abandoned()
        folder = Path(tempfile.mkdtemp(prefix=_UNFINISHED, dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def finish(self, folder: Path, key: str) -> None:
        """Gives a folder its final name. Where another process has been faster, its library is kept."""
        try:
            folder.rename(self.folder / key)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise

    def remove(self, key: str) -> None:
        """Removes a library that is damaged. A process that has loaded it can go on."""
        with self.unfinished() as folder, suppress(FileNotFoundError):  # another process may have removed it
            (self.folder / key).rename(folder / key)

    def _remove_abandoned(self) -> None:
        for each in self.folder.glob(f"{_UNFINISHED}*"):
            try:
                if time.time() - each.stat().st_mtime > _ABANDONED_S:
                    shutil.rmtree(each, ignore_errors=True)
            except FileNotFoundError:
                continue
