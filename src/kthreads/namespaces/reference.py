"""What setns is to enter: a namespace, or those of a process or thread."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from types import TracebackType
from typing import Any

from kthreads.descriptors import Descriptors
from kthreads.errors import FlagError
from kthreads.flags.clone_flags import KINDS, NAMESPACES, CloneFlags, all_but
from kthreads.namespaces.kinds import kind_of, kinds_in
from kthreads.namespaces.listing import Namespace

__all__ = ["Target"]


class Target:
    """What setns is to enter, as an open descriptor: of a namespace, or a pidfd. As a context manager it closes that,
    unless it is the caller's.

    Attributes:
        fd: the descriptor.
        kind: of the namespace; None for a process or thread.
        name: for people.
    """

    def __init__(self, target: Any = None, pid: int | None = None) -> None:
        self._opened = Descriptors()
        self.kind: str | None = None
        if (target is None) == (pid is None):
            raise TypeError("setns takes one target: a path, a Namespace or an object with fileno(); or pid=")
        if pid is not None:
            self.name = f"process {_checked(pid)}"
            self.fd = self._open_pidfd(pid)
        elif isinstance(target, Namespace):
            self.name, self.kind = str(target), target.kind
            self.fd = self._open_namespace(target)
        elif isinstance(target, (str, bytes, os.PathLike)):
            self.name = os.fsdecode(target)
            self.fd = self._opened.open(os.open, target, os.O_RDONLY | os.O_CLOEXEC)
            self.kind = kind_of(self.fd)
            if self.kind is None:
                self._opened.close()
                raise FlagError(f"{self.name} is not the file of a namespace", errno.EINVAL)
        else:
            self._borrow(_descriptor_of(target))

    def _borrow(self, fd: int) -> None:
        self.fd = fd
        self.name = f"descriptor {fd}"
        self.kind = kind_of(fd)
        if self.kind is None and not _is_pidfd(fd):
            raise FlagError(f"descriptor {fd} is neither of a namespace nor a pidfd", errno.EINVAL)

    def flags(self, asked: CloneFlags) -> CloneFlags:
        """What is to be entered, where `asked` was given as flags."""
        if extra := asked & all_but(NAMESPACES):
            raise ValueError(f"setns takes flags of namespaces (NEW...), not {extra!r}")
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

    def others(self) -> CloneFlags:
        """Of a process: the kinds of namespaces in which it is, and the children of the calling thread are not."""
        found, pid = CloneFlags(0), _pid_of(self.fd)
        try:
            for kind in os.listdir(f"/proc/{pid}/ns"):
                if kind in KINDS and os.readlink(f"/proc/{pid}/ns/{kind}") != _of_children(kind):
                    found |= KINDS[kind]
        except FileNotFoundError:
            raise ProcessLookupError(errno.ESRCH, f"{self.name} is of a process that has ended") from None
        return found

    def _open_pidfd(self, pid: int) -> int:
        try:
            return self._opened.open(os.pidfd_open, pid)
        except OSError as error:
            if error.errno == errno.ESRCH:
                raise ProcessLookupError(errno.ESRCH, f"there is no process {pid}") from None
        # PIDFD_THREAD, Linux 6.9: a thread that is not the first of its process
        return self._opened.open(os.pidfd_open, pid, os.O_EXCL)

    def _open_namespace(self, namespace: Namespace) -> int:
        """Opens it by one of its members, unless that has left it or ended in the meantime."""
        for member in namespace.members:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                path = f"/proc/{member.pid}/task/{member.tid}/ns/{namespace.kind}"
                fd = self._opened.open(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
                if os.fstat(fd).st_ino == namespace.inode:
                    return fd
        self._opened.close()
        raise ProcessLookupError(errno.ESRCH, f"no thread is in {namespace} any more by which it could be found")

    def close(self) -> None:
        """Closes the descriptor, unless it is the caller's."""
        self._opened.close()

    def __enter__(self) -> Target:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _checked(pid: int) -> int:
    if not isinstance(pid, int) or isinstance(pid, bool):
        raise TypeError(f"pid must be the id of a process or thread, not {type(pid).__name__}")
    if not 0 < pid < 1 << 31:
        raise ValueError(f"pid must be the id of a process or thread, not {pid}")
    return pid


def _descriptor_of(target: Any) -> int:
    if isinstance(target, int) or not hasattr(target, "fileno"):
        raise TypeError(
            "setns takes a path, a Namespace, or an object with fileno(), such as a file or a running Process; "
            f"the id of a process or thread goes by pid=, not as {type(target).__name__}"
        )
    return int(target.fileno())


def _pid_of(fd: int) -> int | None:
    """The process or thread of a pidfd (proc(5), fdinfo)."""
    with contextlib.suppress(OSError), open(f"/proc/thread-self/fdinfo/{fd}") as file:
        return next((int(line.split()[1]) for line in file if line.startswith("Pid:")), None)
    return None


def _of_children(kind: str) -> str | None:
    """The namespace that children of the calling thread are in; None where it has no process yet."""
    with contextlib.suppress(FileNotFoundError):
        return os.readlink(f"/proc/thread-self/ns/{kind}" + ("_for_children" if kind in ("pid", "time") else ""))
    return None


def _is_pidfd(fd: int) -> bool:
    """Whether an open descriptor is a pidfd, ended or not: signal 0 only asks (pidfd_send_signal(2))."""
    try:
        signal.pidfd_send_signal(fd, 0)
    except OSError as error:
        return error.errno in (errno.ESRCH, errno.EPERM)
    return True
