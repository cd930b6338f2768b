"""The files of the demo: found, read into memory and cut into parts."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Files", "size_of"]

MOST = 512 << 20  # bytes: more files are not read
SMALLEST_PART, LARGEST_PART = 64 << 10, 1 << 20
OTHERS = {"site-packages", "dist-packages"}  # folders of third-party packages in Python's library folder


def size_of(size: float) -> str:
    """A number of bytes with its unit."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            break
        size /= 1024
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"


def _below(folder: Path) -> Iterator[Path]:
    """The regular files below a folder, in order, but for packages."""
    for parent, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name not in OTHERS)
        for name in sorted(names):
            file = Path(parent, name)
            if file.is_file() and not file.is_symlink():
                yield file


@dataclass
class Files:
    """The contents of files in memory.

    Attributes:
        unreadable: how many files of folders could not be read.
        left_out: how many files were left out because memory is limited.
        is_cut: whether the only file was so large that its end was left out.
    """

    paths: list[Path] = field(default_factory=list)
    contents: list[bytes] = field(default_factory=list)
    size: int = 0
    unreadable: int = 0
    left_out: int = 0
    is_cut: bool = False

    @classmethod
    def read(cls, paths: list[Path]) -> Files:
        """The files with these paths, and those below folders.

        Raises:
            OSError: a path that was given is neither a folder nor a file that can be read.
        """
        files = cls()
        for given in paths:
            mode = given.stat().st_mode
            if stat.S_ISREG(mode):
                files._add(given)
            elif not stat.S_ISDIR(mode):
                raise OSError(errno.EINVAL, "not a file or a folder", str(given))
            else:
                for path in _below(given):
                    try:
                        files._add(path)
                    except OSError:
                        files.unreadable += 1
        return files

    def _add(self, path: Path) -> None:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size  # a file that says 0, as those of /proc do, is not read
            if self.size + size > MOST and self.size:
                self.left_out += 1
                return
            self.is_cut |= size > MOST
            self.contents.append(file.read(min(size, MOST)))
        self.paths.append(path)
        self.size += len(self.contents[-1])

    @property
    def largest(self) -> int:
        """The number of the largest file."""
        return max(range(len(self.paths)), key=lambda number: len(self.contents[number]))

    def parts(self, threads: int) -> list[tuple[int, memoryview]]:
        """The numbers and contents of all files, the contents of large ones in parts. The largest part comes first, so that
        small ones can fill the gaps at the end; the parts of a file stay in order."""
        size = min(LARGEST_PART, max(SMALLEST_PART, self.size // (8 * threads)))
        found = [
            (number, memoryview(content)[begin : begin + size])
            for number, content in enumerate(self.contents)
            for begin in range(0, len(content), size)
        ]
        return sorted(found, key=lambda part: -len(part[1]))
