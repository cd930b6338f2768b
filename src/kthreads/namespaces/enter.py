"""Entering namespaces on a thread that runs, and leaving them again."""

from __future__ import annotations

import contextlib
import os
import threading
from types import TracebackType
from typing import Any

from kthreads._native import lib
from kthreads.descriptors import Descriptors
from kthreads.errors import KThreadsError, ThreadStateError
from kthreads.flags.clone_flags import KINDS, CloneFlags, flags_of
from kthreads.namespaces import checks
from kthreads.namespaces.kinds import kinds_in
from kthreads.namespaces.listing import Namespace
from kthreads.namespaces.reference import Target

__all__ = ["Entry", "setns", "unshare"]


class _WayBack(Descriptors):
    """Descriptors of where the calling thread is, to return there from the namespaces that flags name."""

    def __init__(self, flags: CloneFlags) -> None:
        super().__init__()
        self._thread = threading.get_ident(), threading.get_native_id(), os.getpid()
        kinds = list(kinds_in(flags))
        self._flags = [KINDS[kind] for kind in kinds]
        try:
            for kind in kinds:
                self.open(os.open, f"/proc/thread-self/ns/{_FOR_CHILDREN.get(kind, kind)}", os.O_RDONLY | os.O_CLOEXEC)
            if flags & CloneFlags.NEWNS:
                for path in ("/", "."):  # root and working directory, which setns moves with it
                    self.open(os.open, path, os.O_PATH | os.O_CLOEXEC)
        except OSError:
            self.close()
            raise

    def take(self) -> None:
        """Goes back, and closes the descriptors. Again, where an exception of a signal's handler came between."""
        if not self._is_own():
            raise ThreadStateError("only the thread that entered a namespace can leave it")
        failed = [(flag, -code) for flag, fd in zip(self._flags, self, strict=False) if (code := _setns(fd, flag)) < 0]
        places = self[len(self._flags) :]
        try:
            if len(places) == 2 and CloneFlags.NEWNS not in dict(failed):
                root, cwd = places
                os.fchdir(root)
                os.chroot(".")
                os.fchdir(cwd)
        except OSError:
            self.close()
            raise
        self.close()
        if failed:
            flag, code = failed[0]
            raise checks.setns_error(code, flag, "where the thread came from")

    def undo(self, *, refused: bool) -> None:
        """Goes back as far as can be, from where the thread may have come: nowhere, if the kernel refused."""
        if not refused:
            with contextlib.suppress(KThreadsError, OSError):
                self.take()
        self.close()

    def _is_own(self) -> bool:
        """Whether the calling thread is the one that entered, or its image in a forked child."""
        ident, tid, pid = self._thread
        return threading.get_ident() == ident and (threading.get_native_id() == tid or os.getpid() != pid)

    def __del__(self) -> None:
        # Where FILES was unshared in between, another thread would close numbers of its own table.
        if self and threading.get_native_id() == self._thread[1]:
            self.close()


def _setns(fd: int, flags: CloneFlags) -> int:
    return int(lib.kt_setns(fd, int(flags)))


# setns(CLONE_NEWPID) changes where children go, which may not be where the thread is.
_FOR_CHILDREN = {"pid": "pid_for_children"}


def _way_back_from(flags: CloneFlags) -> tuple[_WayBack, str | None]:
    """The way back from what flags name, or an empty one and why there is none."""
    reason = checks.no_return(flags)
    if reason is None:
        try:
            return _WayBack(flags), None
        except FileNotFoundError as error:
            reason = f"there is no way back from a place without {error.filename}: its /proc shows other processes"
    return _WayBack(CloneFlags(0)), reason


class Entry:
    """An entry of one thread into other namespaces, made by `unshare` or `setns`, and the way back.

    As a context manager it leaves at the end of the block. It holds a descriptor for each namespace that the thread
    came from, and closes them when it has left or the program no longer holds it.

    Attributes:
        flags: what was entered, as `CloneFlags`.
    """

    def __init__(self, flags: CloneFlags, way_back: _WayBack, reason: str | None) -> None:
        self.flags = flags
        self._way_back: _WayBack | None = way_back
        self._no_return = reason

    def leave(self) -> None:
        """Takes the thread back to the namespaces that it came from; once is enough, again does nothing. It can be called
        again where the handler of a signal has raised in it.

        The working directory and the root that it had are restored with the mount namespace.

        Raises:
            ThreadStateError: there is no way back from what was entered, or another thread called.
            NamespaceError: the kernel refused, as when the thread has dropped its capabilities. Where it can be, the
                thread is back.
        """
        if self._no_return is not None:
            raise ThreadStateError(self._no_return)
        if self._way_back is not None:
            self._way_back.take()
            self._way_back = None

    def __enter__(self) -> Entry:
        if self._no_return is not None:
            raise ThreadStateError(self._no_return)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    def __repr__(self) -> str:
        return f"<Entry {self.flags!r}{'' if self._way_back is not None else ', left'}>"


def unshare(flags: CloneFlags | int) -> Entry:
    """Gives the calling thread, and no other, what it has shared: unshare(2).

    ::

        kthreads.unshare(CloneFlags.NEWNET)             # from now on

        with kthreads.unshare(CloneFlags.NEWUTS):       # for a while
            socket.sethostname("elsewhere")

    The other threads of the process stay where they are; threads and processes that this one starts from then on begin
    where it is. With NEWPID and NEWTIME the thread itself stays, and its next child is the first in the namespace.

    Args:
        flags: any of NEWNS, NEWUTS, NEWIPC, NEWNET, NEWCGROUP, NEWPID, NEWTIME and, in a process of one thread,
            NEWUSER: new namespaces, which need CAP_SYS_ADMIN or NEWUSER among them. FS (working directory, root,
            umask), FILES (descriptor table) and SYSVSEM (semaphore undo list): a copy of its own, for good, as the
            kernel has no call that shares them again.

    Returns:
        The way back, for a `with` block or for ``leave()``; it may be dropped.

    Raises:
        FlagError: the kernel would refuse the flags, to this thread or to all, or do more than was asked for; the
            message tells what to do. A ValueError. NEWNS implies FS, so that it needs FS among the flags where the
            thread shares FS with others.
        NamespaceError: a privilege is missing, or a limit is reached.
    """
    flags = flags_of(flags)
    checks.before_unshare(flags)
    way_back, no_return = _way_back_from(flags)
    code = 0
    try:
        code = lib.kt_unshare(int(flags))
        if code < 0:
            raise checks.unshare_error(-code, flags)
        return Entry(flags, way_back, no_return)
    except BaseException:  # of a signal's handler, perhaps
        way_back.undo(refused=code < 0)
        raise


def setns(
    target: str | bytes | os.PathLike[str] | Namespace | Any = None,
    flags: CloneFlags | int = 0,
    *,
    pid: int | None = None,
) -> Entry:
    """Takes the calling thread, and no other, into namespaces that exist: setns(2).

    Args:
        target: where they are:
            a path of a namespace, such as ``/proc/1234/ns/net`` or ``/run/netns/blue``;
            a `Namespace` that `list_namespaces` has found;
            an object with ``fileno()``: a file of a namespace, or what has a pidfd, such as a running `Thread` or
            `Process`. An int is none of these.
        flags: for a process or thread, which of its namespaces to enter: any of `NAMESPACES`. A user or time namespace
            that the calling thread is in already is passed over. For a namespace, 0 or the flag of its kind.
        pid: instead of a target, the id of a process or thread.

    Returns:
        The way back, as with `unshare`.

    Raises:
        TypeError: the target is an int, or none of these.
        ValueError: the flags say nothing, or not what the target is.
        FlagError: the file is of no namespace (EINVAL); or the kernel would refuse, as because of other threads of the
            process; the message tells what to do.
        NamespaceError: a privilege is missing.
        ProcessLookupError, FileNotFoundError: the target is not there.
    """
    way_back, code = _WayBack(CloneFlags(0)), 0
    try:
        with Target(target, pid) as at:
            entered = at.flags(flags_of(flags))
            checks.before_setns(entered)
            way_back, no_return = _way_back_from(entered)
            code = _setns(at.fd, entered) if entered else 0
            if code < 0:
                raise checks.setns_error(-code, entered, at.name)
        return Entry(entered, way_back, no_return)
    except BaseException:  # of a signal's handler, perhaps
        way_back.undo(refused=code < 0)
        raise
