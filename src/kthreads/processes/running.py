"""From flags and steps to a running process, and from its end to an exit status."""

from __future__ import annotations

import errno
import functools
import os
import signal
import weakref
from collections.abc import Callable, Sequence
from typing import Any

from kthreads import deadline
from kthreads._native import ffi, lib
from kthreads.descriptors import Descriptors
from kthreads.errors import check, process_error
from kthreads.flags import check as flag_check
from kthreads.flags.clone_flags import NAMESPACES, CloneFlags
from kthreads.functions.function import Call
from kthreads.processes import forked_child
from kthreads.processes.child_steps import Steps
from kthreads.threads import awaiting

__all__ = ["Launched", "launch", "forget_all", "launch_python", "reap_dropped"]

_PROCESS, _SPEC, _FAILURE = ffi.typeof("kt_process *"), ffi.typeof("kt_process_spec *"), ffi.typeof("kt_failure *")
_DONE_WITHOUT = CloneFlags.CLEAR_SIGHAND  # where the kernel cannot, the child resets its handlers itself
_ABOUT_NAMESPACES = (errno.EPERM, errno.ENOSPC, errno.EUSERS)
_NONE = lib.KT_STATUS_NONE
_LOOK_AGAIN = (-errno.EINTR, -errno.ETIMEDOUT)
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


_running: set[Launched] = set()
"""Those whose end was not seen, whether somebody holds them or not. A forked child has no part in them."""


class Launched:
    """A child process of this one: its pid, its pidfd, and its end. What `Child` and `Process` share.

    It is there before the process is, and the engine writes into it what is made: whatever comes between finds it here.
    An exception before `kept` is set means `abandon`. What nobody holds any more is reaped by `reap_dropped`.

    Args:
        owner: who is to have the process. When it is gone, nobody waits for that any more.

    Attributes:
        kept: whether somebody has got the process: else it is killed when its owner is gone.
        memory: what a child that shares ours uses until its end.
    """

    def __init__(self, owner: object) -> None:
        self.cdata = ffi.gc(ffi.new(_PROCESS, {"pid": -1, "pidfd": -1, "status": _NONE}), lib.kt_process_close)
        self.kept = self._dropped = False
        self.memory: Any = None
        self._owner = weakref.ref(owner)
        _running.add(self)

    @property
    def pid(self) -> int:
        """The process id; -1 as long as there is no process."""
        return int(self.cdata.pid)

    @property
    def pidfd(self) -> int:
        """The pidfd, closed when the end was seen; -1 then, and where the kernel has none (before Linux 5.3)."""
        return int(self.cdata.pidfd)

    @property
    def status(self) -> int | None:
        """As wait(2) gives it, once the end was seen; 0 where it went to another wait or to nobody, as Popen has it."""
        status = int(self.cdata.status)
        return None if status == _NONE else max(status, 0)

    @property
    def dropped(self) -> bool:
        """Whether nobody will wait for it."""
        return self._dropped or self._owner() is None

    def drop(self) -> None:
        """Says that nobody will wait for it, though its owner may live on."""
        self._dropped = True

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits for the end; returns `status`, or None when the time is over. Any thread; Ctrl-C works."""
        limit = deadline.after(timeout)
        while (code := lib.kt_process_wait(self.cdata, deadline.slice_ns(limit), ffi.NULL)) in _LOOK_AGAIN:
            # The handlers of signals run here, and may raise.
            if code == -errno.ETIMEDOUT and deadline.has_passed(limit):
                return None
        if code != -errno.ECHILD:
            check(code, f"waiting for process {self.pid}")
        self._forget()
        return self.status

    async def wait_async(self) -> int:
        """Waits likewise in a coroutine, by the pidfd."""
        import asyncio

        while (status := self.wait(0)) is None:
            with Descriptors() as copy:
                fd = copy.open(lib.kt_process_pidfd, self.cdata)
                if fd >= 0:
                    await awaiting.readable(fd)
                else:
                    await asyncio.sleep(_NAP)
        return status

    def send(self, number: int) -> None:
        """Sends a signal, unless it is known to have ended."""
        code = lib.kt_process_signal(self.cdata, number)
        if code < 0 and code != -errno.ESRCH:
            raise OSError(-code, os.strerror(-code))

    def kill(self) -> bool:
        """Sends SIGKILL; returns whether we may, which is not so for who has more privileges by now."""
        try:
            self.send(signal.SIGKILL)
        except PermissionError:
            return False
        return True

    def abandon(self) -> None:
        """What becomes of it when nobody gets it: it is killed if it runs, and has ended when this returns."""
        if self.kill():
            self.wait()

    def _forget(self) -> None:
        self.memory = None
        _running.discard(self)


def forget_all() -> None:
    """In a forked child, whose siblings they are."""
    _running.clear()


def reap_dropped() -> None:
    """Reaps those that have ended while nobody holds them, and kills those that nobody has ever got."""
    for launched in _running.copy():
        if launched.dropped:
            if not launched.kept:
                launched.kill()
            launched.wait(0)


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
        self.flags = flag_check.check(
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

    @property
    def is_used_on(self) -> bool:
        """Whether the child uses what this points to after it has begun: one that runs a function in our memory."""
        return self.cdata.call != ffi.NULL and bool(self.flags & CloneFlags.VM)

    def error(self, code: int, failure: Any, filename: Any) -> Exception:
        place, path = int(failure.place), None
        if place >= 0:
            does, executes, path = self.steps.describe(place), self.steps.is_exec(place), self.steps.path(place)
        else:
            does, executes = _PLACES.get(place, f"clone with flags {int(self.cdata.flags):#x}"), False
        if place == lib.KT_AT_CLONE and self.flags & NAMESPACES and -code in _ABOUT_NAMESPACES:
            return flag_check.refused(-code, self.flags, exit_signal=int(self.cdata.exit_signal))
        return process_error(-code, does, filename=filename if executes else None, path=path)


def launch(
    launched: Launched,
    flags: CloneFlags | int,
    steps: Steps,
    *,
    filename: Any = None,
    before_go: Callable[[int], None] | None = None,
    **spec_options: Any,
) -> None:
    """Starts a process that takes the steps, then executes or runs `call`; returns when that has begun.

    Args:
        launched: is to be the process; its owner abandons it where this raises.
        flags: of clone.
        filename: what an error of exec names.
        before_go: called with the pid while the child waits at its first GO step.
        spec_options: of `kt_process_spec`: call, exit_signal, stack_size, cgroup, set_tid, setgroups, uid_map, gid_map.

    Raises:
        ProcessStartError, NamespaceError: the exception that the failure was in the child, with the step.
    """
    reap_dropped()
    spec, failure = _Spec(flags, steps, **spec_options), ffi.new(_FAILURE)
    launched.memory = spec
    code = lib.kt_process_start(launched.cdata, spec.cdata, failure)
    _let_go(code, launched, spec, failure, filename, before_go)


def launch_python(
    launched: Launched,
    flags: CloneFlags | int,
    steps: Steps,
    function: Callable[[], Any],
    *,
    before_go: Callable[[int], None] | None = None,
    **spec_options: Any,
) -> None:
    """The same for a Python callable, by libc's fork between the interpreter's hooks. In the child it does not return."""
    reap_dropped()
    spec, failure = _Spec(flags, steps, **spec_options), ffi.new(_FAILURE)
    stuck = forked_child.flush_standard_streams()
    life = functools.partial(forked_child.live, function, stuck)
    code = lib.kt_python_fork(launched.cdata, spec.cdata, failure, ffi.cast("void *", id(life)))
    _let_go(code, launched, spec, failure, None, before_go)


def _let_go(
    code: int,
    launched: Launched,
    spec: _Spec,
    failure: Any,
    filename: Any,
    before_go: Callable[[int], None] | None,
) -> None:
    """Lets a child go on that was made, if `code` says so, and waits until it has begun."""
    if code >= 0:
        if before_go is not None:
            before_go(launched.pid)
        while (code := lib.kt_process_go(launched.cdata, failure)) == -errno.EINTR:
            pass  # the handlers of signals run here, and may raise
    if code < 0:
        raise spec.error(code, failure, filename)
    if not spec.is_used_on:
        launched.memory = None
