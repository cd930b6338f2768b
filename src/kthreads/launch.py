"""From flags and steps to a running process, and from its end to an exit status."""

from __future__ import annotations

import errno
import gc
import math
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from kthreads import awaiting, flagcheck
from kthreads._native import ffi, lib
from kthreads.errors import check, process_error
from kthreads.flags import NAMESPACES, CloneFlags
from kthreads.native import Call
from kthreads.steps import Steps

__all__ = ["Launched", "launch", "launch_python"]

_PROCESS, _SPEC, _FAILURE = ffi.typeof("kt_process *"), ffi.typeof("kt_process_spec *"), ffi.typeof("kt_failure *")
_DONE_WITHOUT = CloneFlags.CLEAR_SIGHAND  # where the kernel cannot, the child resets its handlers itself
_ABOUT_NAMESPACES = (errno.EPERM, errno.ENOSPC, errno.EUSERS)
_NAP = 0.002  # seconds between two looks where there is no pidfd
_PLACES = {
    lib.KT_AT_SETGROUPS: "write setgroups of the child",
    lib.KT_AT_UID_MAP: "write uid_map of the child",
    lib.KT_AT_GID_MAP: "write gid_map of the child",
    lib.KT_AT_FORK: "fork",
    lib.KT_AT_CHANNEL: "make a socket pair for the child's report",
}


def _api() -> str:
    """The system call that the engine will make."""
    return "clone3" if lib.kt_features() & lib.KT_FEATURE_CLONE3 else "clone"


class Launched:
    """A child process of this one: its pid, its pidfd, and its end. What `Child` and `Process` share.

    Attributes:
        pid: process id.
        status: as wait(2) gives it, once `wait` has seen the end.
    """

    def __init__(self, cdata: Any) -> None:
        self._cdata = ffi.gc(cdata, lib.kt_process_close)
        self._lock = threading.Lock()
        self._sleepers = 0
        self.pid: int = cdata.pid
        self.status: int | None = None
        self.gone = False  # whether it is known to have ended without a status for us
        self.keep: Any = None  # what a child that shares our memory still uses

    @property
    def pidfd(self) -> int:
        """The pidfd, closed when the end was seen; -1 then, and where the kernel has none (before Linux 5.3)."""
        return int(self._cdata.pidfd)

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits for the end; returns `status`, or None when the time is over. Any thread; Ctrl-C works.

        Raises:
            ChildProcessError: it has ended, but its status went elsewhere.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        left = timeout
        while self.status is None:
            if left is None or left > 0:
                self._sleep(left)
            if self._ended():
                break
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                return None
        return self.status

    def _ended(self) -> bool:
        with self._lock:
            if self.status is None:
                status = ffi.new("int32_t *")
                code = lib.kt_process_wait(self._cdata, 0, status)
                if code == 0:
                    self.status = int(status[0])
                    self._close_unless_used()
                elif code == -errno.ECHILD:
                    self.gone = True
                    self._close_unless_used()
                    raise ChildProcessError(
                        errno.ECHILD, f"process {self.pid} has ended, but its status went to another wait or to nobody"
                    )
                elif code not in (-errno.ETIMEDOUT, -errno.EINTR):
                    check(code, f"waiting for process {self.pid}")
            return self.status is not None

    def _close_unless_used(self) -> None:
        """Closes the pidfd after the end, but not while another thread sleeps on it: its number could be another's then."""
        if not self._sleepers and (self.status is not None or self.gone):
            lib.kt_process_close(self._cdata)

    def _sleep(self, left: float | None) -> None:
        """Until the end, or for a while."""
        with self._lock:
            if self.status is not None:
                return
            fd = self.pidfd
            self._sleepers += 1
        try:
            if fd < 0:
                time.sleep(_NAP if left is None else min(left, _NAP))
            else:
                poll = select.poll()
                poll.register(fd, select.POLLIN)
                poll.poll(None if left is None else math.ceil(left * 1000))
        finally:
            with self._lock:
                self._sleepers -= 1
                self._close_unless_used()

    async def wait_async(self) -> int:
        """Waits likewise in a coroutine, by the pidfd."""
        import asyncio

        while not self._ended():
            with self._lock:
                fd = os.dup(self.pidfd) if self.pidfd >= 0 else -1
            if fd < 0:
                await asyncio.sleep(_NAP)
                continue
            try:
                await awaiting.readable(fd)
            finally:
                os.close(fd)
        assert self.status is not None
        return self.status

    def send(self, number: int) -> None:
        """Sends a signal, unless it is known to have ended."""
        with self._lock:
            if self.status is None:
                code = lib.kt_process_signal(self._cdata, number)
                if code < 0 and code != -errno.ESRCH:
                    raise OSError(-code, os.strerror(-code))


class _Spec:
    """A kt_process_spec and what it points to."""

    def __init__(
        self,
        flags: CloneFlags | int,
        steps: Steps,
        *,
        call: Call | None = None,
        exit_signal: int = signal.SIGCHLD,
        stack_size: int | None = None,
        cgroup: int | None = None,
        set_tid: Sequence[int] = (),
        setgroups: str | None = None,
        uid_map: str | None = None,
        gid_map: str | None = None,
    ) -> None:
        self.flags = flagcheck.check(
            CloneFlags(flags) & ~_DONE_WITHOUT, _api(), exit_signal=exit_signal, set_tid=bool(set_tid)
        )
        self.steps = steps
        cdata = self.cdata = ffi.new(_SPEC)
        cdata.flags = flags
        cdata.exit_signal = exit_signal
        self._keep: list[Any] = [steps, call]
        if len(steps):
            cdata.steps, cdata.step_count = steps.build(), len(steps)
        if call is not None:
            cdata.call = call.cdata
        if stack_size is not None:
            cdata.stack_size = stack_size
        if cgroup is not None:
            cdata.flags |= CloneFlags.INTO_CGROUP
            cdata.cgroup = cgroup
        if set_tid:
            cdata.set_tid, cdata.set_tid_count = self._held(ffi.new("int32_t[]", list(set_tid))), len(set_tid)
        for name, text in (("setgroups", setgroups), ("uid_map", uid_map), ("gid_map", gid_map)):
            if text is not None:
                setattr(cdata, name, self._held(ffi.new("char[]", text.encode())))

    def _held(self, value: Any) -> Any:
        self._keep.append(value)
        return value

    def error(self, code: int, failure: Any, filename: Any) -> Exception:
        place = int(failure.place)
        if place >= 0:
            does, executes = self.steps.describe(place), self.steps.is_exec(place)
        else:
            does, executes = _PLACES.get(place, f"clone with flags {int(self.cdata.flags):#x}"), False
        if place == lib.KT_AT_CLONE and self.flags & NAMESPACES and -code in _ABOUT_NAMESPACES:
            return flagcheck.refused(-code, self.flags, exit_signal=int(self.cdata.exit_signal))
        return process_error(-code, does, filename=filename if executes else None)


def launch(
    flags: CloneFlags | int,
    steps: Steps,
    *,
    filename: Any = None,
    before_go: Callable[[int], None] | None = None,
    **spec_options: Any,
) -> Launched:
    """Starts a process that takes the steps, then executes or runs `call`; returns when that has begun.

    Args:
        flags: of clone.
        filename: what an error of exec names.
        before_go: called with the pid while the child waits at its first GO step.
        spec_options: of `kt_process_spec`: call, exit_signal, stack_size, cgroup, set_tid, setgroups, uid_map, gid_map.

    Raises:
        ProcessStartError, NamespaceError: the exception that the failure was in the child, with the step.
    """
    spec = _Spec(flags, steps, **spec_options)
    cdata, failure = ffi.new(_PROCESS), ffi.new(_FAILURE)
    code = lib.kt_process_start(cdata, spec.cdata, failure)
    return _let_go(code, cdata, spec, failure, filename, before_go)


def launch_python(
    flags: CloneFlags | int,
    steps: Steps,
    function: Callable[[], Any],
    *,
    before_go: Callable[[int], None] | None = None,
    **spec_options: Any,
) -> Launched:
    """The same for a Python callable, by libc's fork between the interpreter's hooks. In the child it does not return."""
    spec = _Spec(flags, steps, **spec_options)
    cdata, failure = ffi.new(_PROCESS), ffi.new(_FAILURE)
    sys.stdout.flush()  # what is buffered would be written by both
    sys.stderr.flush()
    gc_was_on = gc.isenabled()
    gc.disable()
    try:
        code = lib.kt_python_fork(cdata, spec.cdata, failure)
        if code == lib.KT_IN_CHILD:
            _run_and_exit(function, gc_was_on)
    finally:
        if gc_was_on:
            gc.enable()
    return _let_go(code, cdata, spec, failure, None, before_go)


def _let_go(
    code: int, cdata: Any, spec: _Spec, failure: Any, filename: Any, before_go: Callable[[int], None] | None
) -> Launched:
    """Lets a child go on that was made, if `code` says so, and waits until it has begun."""
    if code < 0:
        raise spec.error(code, failure, filename)
    launched = Launched(cdata)
    try:
        if before_go is not None:
            before_go(launched.pid)
        while (code := lib.kt_process_go(launched._cdata, failure)) == -errno.EINTR:
            pass  # the handlers of signals run here, and may raise
    except BaseException:
        launched.send(signal.SIGKILL)
        launched.wait()
        raise
    if code < 0:
        raise spec.error(code, failure, filename)
    return launched


def _run_and_exit(function: Callable[[], Any], gc_was_on: bool) -> NoReturn:
    """What a forked child does: an int or None that `function` returns is its exit status, as sys.exit takes it."""
    status = 1
    try:
        if gc_was_on:
            gc.enable()
        status = _status_of(function)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                try:
                    stream.flush()
                except (OSError, ValueError):
                    status = status or 120  # as the interpreter does at its end
        os._exit(status)


def _status_of(function: Callable[[], Any]) -> int:
    try:
        result = function()
    except SystemExit as exit_:
        result = exit_.code
    if result is None:
        return 0
    if isinstance(result, int):
        return result & 0xFF
    print(result, file=sys.stderr)
    return 1
