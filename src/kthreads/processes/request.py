"""What is asked of the engine for a new process: a checked kt_process_spec, and the exception when it is refused."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kthreads._native import ffi, lib
from kthreads.errors import KThreadsError, process_error
from kthreads.flags.clone_flags import CLONE3_ONLY, NAMESPACES, CloneFlags, all_but
from kthreads.processes.child_steps import Steps
from kthreads.processes.idmap import check_ranges

if TYPE_CHECKING:
    from kthreads.functions.function import Call

__all__ = ["ProcessRequest"]

_SPEC = ffi.typeof("kt_process_spec *")
_EMULATED = CloneFlags.CLEAR_SIGHAND  # where the kernel lacks it, the child resets its handlers itself
# The kernel refuses what does not go together among these; others it may ignore, and clone(2) may take for a signal.
_REFUSED_BY_KERNEL = NAMESPACES & ~CLONE3_ONLY | CloneFlags.VM | CloneFlags.VFORK
_NAMESPACE_ERRORS = (errno.EPERM, errno.ENOSPC, errno.EUSERS)
_PLACES = {
    lib.KT_AT_SETGROUPS: "write setgroups of the child",
    lib.KT_AT_UID_MAP: "write uid_map of the child",
    lib.KT_AT_GID_MAP: "write gid_map of the child",
    lib.KT_AT_FORK: "fork",
    lib.KT_AT_CHANNEL: "make a socket pair for the child's report",
}


_CGROUP_ERRORS = {  # errors that clone has for the cgroup alone
    errno.EBADF: ", which is no folder of a cgroup of version 2",
    errno.EBUSY: ", which has controllers for the cgroups below it, and so no processes of its own",
    errno.EOPNOTSUPP: ", which is threaded or invalid",
    errno.ENODEV: ", which was removed",
    errno.EACCES: "",
}


def _folder_of(fd: int) -> str:
    """The folder that is open, for a message."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return f"of descriptor {fd}"


def _api() -> str:
    """The system call that the engine will make."""
    return "clone3" if lib.kt_features() & lib.KT_FEATURE_CLONE3 else "clone"


def _check_map(text: str) -> None:
    """Raises ValueError for an id that the kernel would cut to 32 bits. It reports all other errors itself."""
    rows = [line.split() for line in text.splitlines()]
    numbers = [[int(word) for word in row if word.isdecimal()] for row in rows]
    check_ranges((row[0], row[1], row[2]) for row in numbers if len(row) == 3)


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
        emulated = CloneFlags(0) if CloneFlags(flags) & CloneFlags.SIGHAND else _EMULATED
        self.flags = CloneFlags(flags) & all_but(emulated)
        self._call: dict[str, Any] = {"exit_signal": int(exit_signal), "set_tid": bool(set_tid)}
        self.steps = steps
        if set_tid or exit_signal != signal.SIGCHLD or self.flags & all_but(_REFUSED_BY_KERNEL):
            self._check_flags()
        cdata = self.cdata = ffi.new(_SPEC)
        cdata.flags = flags
        cdata.exit_signal = exit_signal
        self._keep: list[Any] = [steps, call]
        if len(steps):
            cdata.steps, cdata.step_count, cdata.before_clone = steps.build(), len(steps), steps.before_clone
        if call is not None:
            cdata.call = call.cdata
        if stack_size is not None:
            cdata.stack_size = stack_size
        if cgroup is not None:
            cdata.flags |= CloneFlags.INTO_CGROUP
            cdata.cgroup = cgroup
        if set_tid:
            cdata.set_tid, cdata.set_tid_count = self._kept(ffi.new("int32_t[]", list(set_tid))), len(set_tid)
        for text in (uid_map, gid_map):
            _check_map(text or "")
        for name, text in (("setgroups", setgroups), ("uid_map", uid_map), ("gid_map", gid_map)):
            if text is not None:
                setattr(cdata, name, self._kept(ffi.new("char[]", text.encode())))

    def _check_flags(self) -> None:
        """Raises what says why the kernel would refuse the call, if it would."""
        from kthreads.flags.check import PERMISSIVE, check

        # An intermediate process has the capabilities that it gets in the user namespace that it enters.
        check(self.flags, _api(), situation=PERMISSIVE if self.steps.before_clone else None, **self._call)

    def _refusal(self, code: int) -> Exception | None:
        """Why the kernel has refused the call of clone, if that is known."""
        from kthreads.flags.check import PERMISSIVE, refused

        try:
            self._check_flags()
        except (KThreadsError, OSError) as error:
            return error
        if not (self.flags & NAMESPACES and code in _NAMESPACE_ERRORS):
            return None
        return refused(code, self.flags, situation=PERMISSIVE if self.steps.before_clone else None, **self._call)

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
        place, path, executes = int(failure.place), None, False
        if place >= 0:
            does, executes, path = self.steps.describe(place), self.steps.is_exec(place), self.steps.path(place)
        elif place == lib.KT_AT_CLONE and self.cdata.flags & CloneFlags.INTO_CGROUP and -code in _CGROUP_ERRORS:
            path = _folder_of(self.cdata.cgroup)
            does = f"begin in the cgroup {path}{_CGROUP_ERRORS[-code]}"
        else:
            does = _PLACES.get(place, f"clone with flags {int(self.cdata.flags):#x}")
        if place == lib.KT_AT_CLONE and (found := self._refusal(-code)) is not None:
            return found
        return process_error(-code, does, filename=filename if executes else None, path=path)
