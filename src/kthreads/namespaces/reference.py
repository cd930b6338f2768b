"""What setns is to enter: a namespace, or those of a process or thread."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from types import TracebackType
from typing import Any

from kthreads.descriptors import Descriptors
from kthreads.flags.clone_flags import NAMESPACES, CloneFlags
from kthreads.namespaces.listing import KINDS, kind_of, kinds_in

__all__ = ["Target"]


class Target:
    """What setns is to enter, as an open descriptor: of a namespace, or a pidfd. As a context manager it closes that,
    unless it is the caller's.

    Attributes:
        fd: the descriptor.
        kind: of the namespace; None for a process or thread.
        name: for people.
    """

    def __init__(self, target: Any) -> None:
        self.name = str(target)
        self._opened = Descriptors()
        self.kind: str | None = None
        if isinstance(target, (str, os.PathLike)):
            self.fd = self._opened.open(os.open, os.fspath(target), os.O_RDONLY | os.O_CLOEXEC)
            self.kind = kind_of(self.fd)
            if self.kind is None:
                self._opened.close()
                raise ValueError(f"{self.name} is not the file of a namespace")
        elif not isinstance(target, int):
            self._borrow(target.fileno())
        elif kind_of(target) is not None or _is_pidfd(target):
            self._borrow(target)
        else:
            self.name = f"process {target}"
            self.fd = self._open_pidfd(target)

    def _borrow(self, fd: int) -> None:
        self.fd = fd
        self.name = f"descriptor {fd}"
        self.kind = kind_of(fd)
        if self.kind is None and not _is_pidfd(fd):
            raise ValueError(f"descriptor {fd} is neither of a namespace nor a pidfd")

    def flags(self, asked: CloneFlags) -> CloneFlags:
        """What is to be entered, where `asked` was given as flags."""
        if asked & ~NAMESPACES:
            raise ValueError(f"setns takes flags of namespaces (NEW...), not {asked & ~NAMESPACES!r}")
        if self.kind is None:
            if not asked:
                raise ValueError(f"say which namespaces of {self.name} to enter: setns(..., CloneFlags.NEWNET | ...)")
            return asked & ~self._entered(asked)
        if asked and asked != KINDS[self.kind]:
            raise ValueError(f"{self.name} is a {self.kind} namespace: flags must be 0 or {KINDS[self.kind]!r}")
        return KINDS[self.kind]

    def _entered(self, asked: CloneFlags) -> CloneFlags:
        """Which of those that the kernel refuses to enter again the thread is in; none where no /proc tells."""
        found = CloneFlags(0)
        pid = _pid_of(self.fd)
        with contextlib.suppress(FileNotFoundError):
            for kind in kinds_in(asked & (CloneFlags.NEWUSER | CloneFlags.NEWTIME)):
                if os.readlink(f"/proc/{pid}/ns/{kind}") == os.readlink(f"/proc/thread-self/ns/{kind}"):
                    found |= KINDS[kind]
        return found

    def _open_pidfd(self, pid: int) -> int:
        try:
            return self._opened.open(os.pidfd_open, pid)
        except OSError as error:
            if error.errno == errno.ESRCH:
                raise ProcessLookupError(
                    errno.ESRCH, f"there is no process {pid}, and no namespace or pidfd is open as {pid}"
                ) from None
        # PIDFD_THREAD, Linux 6.9: a thread that is not the first of its process
        return self._opened.open(os.pidfd_open, pid, os.O_EXCL)

    def __enter__(self) -> Target:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()


def _pid_of(fd: int) -> int | None:
    """The process or thread of a pidfd (proc(5), fdinfo)."""
    with contextlib.suppress(OSError), open(f"/proc/thread-self/fdinfo/{fd}") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("Pid:")), None)
    return None


def _is_pidfd(fd: int) -> bool:
    """Whether an open descriptor is a pidfd, ended or not: signal 0 only asks (pidfd_send_signal(2))."""
    try:
        signal.pidfd_send_signal(fd, 0)
    except OSError as error:
        return error.errno in (errno.ESRCH, errno.EPERM)
    return True
