"""A child process that was started: its pid, its pidfd, and its end."""

from __future__ import annotations

import errno
import os
import signal
import weakref
from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from kthreads import deadline, lifecycle
from kthreads._native import ffi, lib
from kthreads.descriptors import Descriptors
from kthreads.errors import ProcessStateError, UnsupportedError, check
from kthreads.readable import readable

__all__ = ["PidfdMethods", "RunningProcess", "reap_dropped", "registered", "reset_after_fork"]

_PROCESS = ffi.typeof("kt_process *")
_NONE = lib.KT_STATUS_NONE
_WAIT_AGAIN = (-errno.EINTR, -errno.ETIMEDOUT)
_DELAY = 0.002  # seconds between two looks at a process that has no pidfd

registered: set[RunningProcess] = set()
"""The processes whose end was not seen, whether or not the program holds them. Empty in a forked child."""


class RunningProcess:
    """A child process of this one. `Child` and `Process` each have one.

    The object is made before the process. The engine writes into it what it makes, so that an exception at any point
    finds it here. If an exception comes before `kept` is set, the owner calls `abandon`. A process that the program has
    dropped is reaped by `reap_dropped`.

    Args:
        owner: the object that has the process. When it is gone, no caller waits for the process any more.

    Attributes:
        kept: whether the caller has got the process. If not, it is killed when its owner is gone.
        memory: what a child that shares our memory uses until its end.
    """

    def __init__(self, owner: object) -> None:
        self.cdata = ffi.gc(ffi.new(_PROCESS, {"pid": -1, "pidfd": -1, "status": _NONE}), lib.kt_process_close)
        self.kept = self._dropped = False
        self.memory: Any = None
        self._owner = weakref.ref(owner)
        registered.add(self)

    @property
    def pid(self) -> int:
        """The process id; -1 as long as there is no process."""
        return int(self.cdata.pid)

    @property
    def pidfd(self) -> int:
        """The pidfd; -1 after the end was seen, when it is closed, and before Linux 5.3, which has none."""
        return int(self.cdata.pidfd)

    @property
    def status(self) -> int | None:
        """The status as wait(2) gives it, once the end was seen. 0, as with Popen, if another call of wait has taken the
        status, or if the kernel has kept none."""
        status = int(self.cdata.status)
        return None if status == _NONE else max(status, 0)

    @property
    def dropped(self) -> bool:
        """Whether no caller will wait for it."""
        return self._dropped or self._owner() is None

    def drop(self) -> None:
        """States that no caller will wait for it, though its owner may still exist."""
        self._dropped = True

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits for the end; returns `status`, or None after `timeout` seconds. Any thread may call it; Ctrl-C works."""
        limit = deadline.after(timeout)
        while (code := lib.kt_process_wait(self.cdata, deadline.slice_ns(limit), ffi.NULL)) in _WAIT_AGAIN:
            # The handlers of signals run here, and may raise.
            if code == -errno.ETIMEDOUT and deadline.has_passed(limit):
                return None
        if code != -errno.ECHILD:
            check(code, f"waiting for process {self.pid}")
        self.memory = None
        registered.discard(self)
        return self.status

    async def wait_async(self) -> int:
        """Waits for the end in a coroutine, by the pidfd; returns `status`."""
        import asyncio

        while (status := self.wait(0)) is None:
            with Descriptors() as copy:
                fd = copy.open(lib.kt_process_pidfd, self.cdata)
                if fd >= 0:
                    await readable(fd)
                else:
                    await asyncio.sleep(_DELAY)
        return status

    def send(self, number: int) -> None:
        """Sends a signal, unless the process is known to have ended."""
        code = lib.kt_process_signal(self.cdata, number)
        if code < 0 and code != -errno.ESRCH:
            raise OSError(-code, os.strerror(-code))

    def kill(self) -> bool:
        """Sends SIGKILL. Returns False if that is not permitted: the process may have gained privileges."""
        try:
            self.send(signal.SIGKILL)
        except PermissionError:
            return False
        return True

    def abandon(self) -> None:
        """Kills the process, if it runs, and waits for its end: the caller never gets it."""
        if self.kill():
            self.wait()


class PidfdMethods:
    """The methods of `Child` and `Process` that use the pidfd. ``await process`` waits in asyncio."""

    _running_process: RunningProcess

    if TYPE_CHECKING:

        def poll(self) -> int | None: ...

    def send_signal(self, sig: int) -> None:
        """Sends a signal by the pidfd, so never to another process. Does nothing after the end of the process."""
        self._running_process.send(sig)

    def fileno(self) -> int:
        """The pidfd, which is readable when the process has ended. It is closed when `wait` or `poll` has seen the end.

        Raises:
            ProcessStateError: the end was seen.
            UnsupportedError: the kernel is older than Linux 5.3.
        """
        if self._running_process.status is not None:
            raise ProcessStateError("the process has ended, and its pidfd is closed")
        if (fd := self._running_process.pidfd) < 0:
            raise UnsupportedError("a pidfd needs Linux 5.3 (pidfd_open)")
        return fd

    def __await__(self) -> Generator[Any, None, int]:
        return self._wait_async().__await__()

    async def _wait_async(self) -> int:
        while (code := self.poll()) is None:
            await self._running_process.wait_async()
        return code


@lifecycle.in_a_forked_child.add
def reset_after_fork() -> None:
    """In a forked child, to which the processes are siblings."""
    global registered
    registered = set()


def reap_dropped() -> None:
    """Reaps the dropped processes that have ended, and kills those that no caller has ever got."""
    for process in registered.copy():
        if process.dropped:
            if not process.kept:
                process.kill()
            process.wait(0)
