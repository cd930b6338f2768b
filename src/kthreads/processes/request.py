"""What is asked of the engine for a new process: a checked kt_process_spec, and the exception when it is refused."""

from __future__ import annotations

import errno
import signal
from collections.abc import Sequence
from typing import Any

from kthreads._native import ffi, lib
from kthreads.errors import process_error
from kthreads.flags import check as flag_check
from kthreads.flags.clone_flags import NAMESPACES, CloneFlags
from kthreads.functions.function import Call
from kthreads.processes.child_steps import Steps

__all__ = ["ProcessRequest"]

_SPEC = ffi.typeof("kt_process_spec *")
_EMULATED = CloneFlags.CLEAR_SIGHAND  # where the kernel lacks it, the child resets its handlers itself
_NAMESPACE_ERRORS = (errno.EPERM, errno.ENOSPC, errno.EUSERS)
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


class ProcessRequest:
    """A checked ``kt_process_spec``, and what its pointers point to.

    Args:
        flags: of clone.
        steps: of the child, before its function or program.
        call: of a native function; None for a program or a Python callable.
        exit_signal, stack_size, cgroup, set_tid, setgroups, uid_map, gid_map: as in ``kt_process_spec``.

    Raises:
        FlagError, UnsupportedError: flags that do not go together, or that the kernel lacks.
    """

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
            CloneFlags(flags) & ~_EMULATED, _api(), exit_signal=exit_signal, set_tid=bool(set_tid)
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
            cdata.set_tid, cdata.set_tid_count = self._kept(ffi.new("int32_t[]", list(set_tid))), len(set_tid)
        for name, text in (("setgroups", setgroups), ("uid_map", uid_map), ("gid_map", gid_map)):
            if text is not None:
                setattr(cdata, name, self._kept(ffi.new("char[]", text.encode())))

    def _kept(self, value: Any) -> Any:
        self._keep.append(value)
        return value

    @property
    def outlives_start(self) -> bool:
        """Whether the child uses this memory after it has begun: a child that runs a function in our memory does."""
        return self.cdata.call != ffi.NULL and bool(self.flags & CloneFlags.VM)

    def error(self, code: int, failure: Any, filename: Any) -> Exception:
        """The exception for a start that has failed.

        Args:
            code: minus an errno value.
            failure: the ``kt_failure *``, which has the place.
            filename: what the error of an exec step names.
        """
        place, path = int(failure.place), None
        if place >= 0:
            does, executes, path = self.steps.describe(place), self.steps.is_exec(place), self.steps.path(place)
        else:
            does, executes = _PLACES.get(place, f"clone with flags {int(self.cdata.flags):#x}"), False
        if place == lib.KT_AT_CLONE and self.flags & NAMESPACES and -code in _NAMESPACE_ERRORS:
            return flag_check.refused(-code, self.flags, exit_signal=int(self.cdata.exit_signal))
        return process_error(-code, does, filename=filename if executes else None, path=path)
