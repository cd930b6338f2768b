"""What `kthreads run` tells other programs of its container, and what it waits for: by descriptors and a file, with the
options and the JSON of bubblewrap."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import select
import signal
import stat
from collections.abc import Callable
from functools import partial

from kthreads.cli.signals import Signals
from kthreads.cli.values import descriptor

__all__ = ["Announcements", "StoppedError", "add_announcement_options"]

_KINDS = ("cgroup", "ipc", "mnt", "net", "pid", "uts")  # those that bubblewrap tells
_NAP = 0.01  # seconds between two looks for the reader of a pipe


class StoppedError(Exception):
    """A signal came while the program waited for another to let it begin.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by signal {number}")
        self.number = number


class Announcements:
    """The descriptors and the file that are written.

    Args:
        options: of the command.
        signals: those that may come while it waits.
    """

    def __init__(self, options: argparse.Namespace, signals: Signals) -> None:
        self._info, self._status, self._block = options.info_fd, options.json_status_fd, options.block_fd
        self._pid_file = options.pid_file
        self._signals = signals

    @property
    def are_wanted(self) -> bool:
        return (self._info, self._status, self._block, self._pid_file) != (None, None, None, None)

    def before_go(self, pid: int) -> None:
        """Tells of the container, which has been made, and waits until its program may begin.

        Args:
            pid: of its first process.

        Raises:
            OSError: there was no telling it; `filename` is the option.
            StoppedError: a signal came.
        """
        members = {"child-pid": pid} | _namespaces(pid)
        if self._info is not None:
            import json

            _write("--info-fd", self._info, json.dumps(members, indent=4) + "\n")
            os.close(self._info)
        if self._status is not None:
            _write("--json-status-fd", self._status, _line(members))
        if self._pid_file is not None:
            _write_file(self._pid_file, f"{pid}\n", self._heed)
        if self._block is not None:
            self._wait(self._block)

    def at_end(self, status: int) -> None:
        """Tells the exit status, to whom it may still concern."""
        if self._status is not None:
            with contextlib.suppress(OSError):
                _write("--json-status-fd", self._status, _line({"exit-code": status}))
                os.close(self._status)

    def _wait(self, fd: int) -> None:
        while fd not in self._heed(None, fd):
            pass
        _read_one("--block-fd", fd)

    def _heed(self, seconds: float | None, *others: int) -> dict[int, int]:
        """Waits for signals, and for other descriptors; returns what can be read."""
        poll = select.poll()
        for each in (*others, self._signals.fileno()):
            poll.register(each, select.POLLIN)
        ready = dict(poll.poll(None if seconds is None else seconds * 1000))
        for number in self._signals.take():
            _obey(number)
        return ready


def _obey(number: int) -> None:
    """Does what a signal does by default."""
    if number == signal.SIGTSTP:
        os.kill(os.getpid(), signal.SIGSTOP)
    elif number not in (signal.SIGCONT, signal.SIGWINCH):
        raise StoppedError(number)


def add_announcement_options(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    add = parser.add_argument_group("for other programs").add_argument
    for name, does in (
        ("--info-fd", "write the container's first process and its namespaces, as JSON, to this descriptor"),
        ("--json-status-fd", "write that as one line of JSON, and another one with the exit status"),
        ("--block-fd", "let the program begin when there is something to read from this descriptor, or its end"),
        ("--sync-fd", "keep this descriptor open until the container has ended"),
    ):
        add(name, type=descriptor, metavar="FD", help=does)
    add("--pid-file", metavar="FILE", help="write the number of the container's first process to FILE")


def _line(members: dict[str, int]) -> str:
    import json

    return "{ " + json.dumps(members)[1:-1] + " }\n"


def _namespaces(pid: int) -> dict[str, int]:
    """The namespaces that a process does not share with this one, by their inodes."""
    found = {}
    for kind in _KINDS:
        inode = os.stat(f"/proc/{pid}/ns/{kind}").st_ino
        if inode != os.stat(f"/proc/self/ns/{kind}").st_ino:
            found[f"{kind}-namespace"] = inode
    return found


def _write(option: str, fd: int, text: str) -> None:
    data = text.encode()
    try:
        while data:
            data = data[os.write(fd, data) :]
    except OSError as error:
        raise OSError(error.errno, f"cannot write to {option} {fd}: {error.strerror}") from None


def _read_one(option: str, fd: int) -> None:
    try:
        os.read(fd, 1)
    except OSError as error:
        raise OSError(error.errno, f"cannot read from {option} {fd}: {error.strerror}") from None


def _write_file(path: str, text: str, heed: Callable[[float], object]) -> None:
    """Writes a file so that no reader finds a part of it; to a pipe or a device as it is. A link is followed by the kernel, which
    refuses those of other users in folders such as /tmp (fs.protected_symlinks).

    Args:
        heed: waits for this many seconds, or for signals, which it heeds.
    """
    try:
        if os.path.islink(path) or (os.path.exists(path) and not os.path.isfile(path)):
            with open(path, "w", opener=partial(_open, heed)) as file:
                file.write(text)
            return
        import tempfile

        folder = os.path.dirname(path) or "."
        with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".", delete=False) as part:
            part.write(text)
            os.fchmod(part.fileno(), 0o644)
        os.replace(part.name, path)
    except OSError as error:
        raise OSError(error.errno, f"cannot write --pid-file {path}: {error.strerror}") from None


def _open(heed: Callable[[float], object], path: str, flags: int) -> int:
    """Opens a file. In an open(2) that waits for the reader of a pipe, signals would go unheeded."""
    while True:
        try:
            return os.open(path, flags | os.O_NONBLOCK, 0o644)
        except OSError as error:
            if error.errno != errno.ENXIO or not stat.S_ISFIFO(os.stat(path).st_mode):
                raise
        heed(_NAP)
