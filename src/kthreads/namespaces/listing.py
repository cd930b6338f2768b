"""Namespaces: their kinds, and the threads in each."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sys
from collections.abc import Iterator
from typing import NamedTuple, NoReturn

from kthreads.descriptors import Descriptors
from kthreads.flags.clone_flags import KINDS, CloneFlags
from kthreads.record import Record

__all__ = ["Member", "Namespace", "list_namespaces"]

# linux/nsfs.h: _IO(0xb7, n).
_GET_OWNER, _GET_PARENT, _GET_OWNER_UID = 0xB701, 0xB702, 0xB704
_HIERARCHICAL = ("pid", "user")


class Member(NamedTuple):
    """A thread that is in a namespace."""

    pid: int
    """Its process."""
    tid: int
    """Its thread id; the same as `pid` for the first thread of a process."""


class Namespace(Record):
    """A namespace and the threads in it, as far as the caller may look."""

    kind: str
    """One of `KINDS`, such as "net"."""
    inode: int
    """Its number, which two threads see as the same when, and only when, they share it."""
    members: tuple[Member, ...] = ()
    """The threads in it, in the order of their ids; none where it lives on as an ancestor alone, or by a descriptor."""
    owner: int | None = None
    """The inode of the user namespace that owns it, whose capabilities count in it; of a user namespace, its parent.
    None where that is out of the caller's sight."""
    parent: int | None = None
    """The inode of the one above it, for PID and user namespaces (NS_GET_PARENT)."""
    uid: int | None = None
    """For a user namespace, the user that made it, as an id in the caller's (NS_GET_OWNER_UID)."""

    @property
    def flag(self) -> CloneFlags:
        """The flag of its kind."""
        return KINDS[self.kind]

    @property
    def pids(self) -> tuple[int, ...]:
        """The processes with a thread in it."""
        return tuple(dict.fromkeys(member.pid for member in self.members))

    def __str__(self) -> str:
        return f"{self.kind}:[{self.inode}]"


def list_namespaces(pid: int | None = None) -> tuple[Namespace, ...]:
    """The namespaces, and the threads that share each.

    Args:
        pid: of one process: the namespaces that its threads are in, with all others that are in them. None: those of
            all processes, and the user and PID namespaces above them.

    Returns:
        The namespaces, in the order of `KINDS` and then of their inodes. Processes that the caller may not look into
        (ptrace(2), PTRACE_MODE_READ_FSCREDS) are left out, and so are namespaces that only a descriptor, a bind mount
        or a thread's future children hold.

    Raises:
        ProcessLookupError: there is no such process.
        PermissionError: the caller may not look into it.
    """
    own = None if pid is None else {key for _, keys in _threads_of(pid) for key in keys}
    if pid is not None and not own:
        _refuse(pid)
    members: dict[_Key, list[Member]] = {}
    for process in _processes():
        for member, keys in _threads_of(process):
            for key in keys:
                if own is None or key in own:
                    members.setdefault(key, []).append(member)
    found: dict[_Key, Namespace] = {}
    for key, inside in members.items():
        _look_through(inside, key, found)
    if own is None:
        shown = [each.__replace__(members=tuple(members.get(key, ()))) for key, each in found.items()]
    else:
        shown = [found[key].__replace__(members=tuple(members[key])) for key in own if key in found]
    order = tuple(KINDS)
    return tuple(sorted(shown, key=lambda each: (order.index(each.kind), each.inode)))


_Key = tuple[str, int]  # kind and inode


def _processes() -> list[int]:
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def _threads_of(pid: int) -> Iterator[tuple[Member, list[_Key]]]:
    """Each thread of a process and what it is in; none of a process that has ended or may not be looked into."""
    with contextlib.suppress(OSError):
        for tid in sorted(map(int, os.listdir(f"/proc/{pid}/task"))):
            folder = f"/proc/{pid}/task/{tid}/ns"
            with contextlib.suppress(OSError):
                yield Member(pid, tid), [_key_at(f"{folder}/{kind}") for kind in KINDS if kind in os.listdir(folder)]


def _key_at(path: str) -> _Key:
    kind, _, inode = os.readlink(path).partition(":")
    return kind, int(inode.strip("[]"))


def _refuse(pid: int) -> NoReturn:
    if os.path.exists(f"/proc/{pid}"):
        os.readlink(f"/proc/{pid}/ns/user")  # says why not
    raise ProcessLookupError(errno.ESRCH, f"there is no process {pid}")


def _look_through(members: list[Member], key: _Key, found: dict[_Key, Namespace]) -> None:
    """Looks at a namespace through the first of its members that still is in it."""
    for member in members:
        path = f"/proc/{member.pid}/task/{member.tid}/ns/{key[0]}"
        with Descriptors() as opened:
            try:
                fd = opened.open(os.open, path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                continue
            if os.fstat(fd).st_ino == key[1]:  # else its id is another's by now
                _look(fd, key[0], found)
                return


def _look(fd: int, kind: str, found: dict[_Key, Namespace]) -> int:
    """Enters a namespace and those above it into `found`; returns the inode."""
    inode = os.fstat(fd).st_ino
    if (kind, inode) not in found:
        owner = _look_above(fd, _GET_OWNER, "user", found)
        parent = _look_above(fd, _GET_PARENT, kind, found) if kind in _HIERARCHICAL else None
        found[kind, inode] = Namespace(kind, inode, (), owner, parent, _uid_of(fd) if kind == "user" else None)
    return inode


def _look_above(fd: int, request: int, kind: str, found: dict[_Key, Namespace]) -> int | None:
    with Descriptors() as opened:
        try:
            above = opened.open(fcntl.ioctl, fd, request)
        except OSError:  # EPERM: the initial one, or one out of sight
            return None
        return _look(above, kind, found)


def open_owner(fd: int) -> int:
    """A descriptor of the user namespace that owns a namespace; of a user namespace, its parent (NS_GET_USERNS).

    Raises:
        PermissionError: it is out of the caller's sight, or there is none.
    """
    return fcntl.ioctl(fd, _GET_OWNER)


def _uid_of(fd: int) -> int:
    buffer = bytearray(4)
    fcntl.ioctl(fd, _GET_OWNER_UID, buffer)
    return int.from_bytes(buffer, sys.byteorder)
