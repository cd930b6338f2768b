"""A child process by clone(2), with flags of the caller's choice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from kthreads.descriptors import Descriptors
from kthreads.flags.clone_flags import CloneFlags, check_process_flags, flags_of
from kthreads.functions.sources import is_native, native
from kthreads.processes.checks import check_arguments, check_cgroup, check_number, check_numbers
from kthreads.processes.child_steps import Steps
from kthreads.processes.running import PidfdMethods, RunningProcess
from kthreads.processes.start import start, start_python

__all__ = ["Child", "clone"]


class Child(PidfdMethods):
    """A process made by `clone`. It has the methods of `subprocess.Popen`, and ``await child`` waits in asyncio.

    Attributes:
        flags: the flags of clone that the caller has passed.
    """

    def __init__(self, flags: CloneFlags, what: str) -> None:
        self._what = what
        self.flags = flags
        self._running_process = RunningProcess(self)

    @property
    def pid(self) -> int:
        """Its process id in the caller's PID namespace."""
        return self._running_process.pid

    @property
    def returncode(self) -> int | None:
        """None until the end was seen. Then the exit status, or minus the number of the signal that ended it.

        0, as with subprocess.Popen, if the status is not known: another call such as ``os.wait()`` has taken it, the kernel
        has dropped it as SIGCHLD is ignored, or, with CLONE_PARENT, it goes to the parent of the caller.
        """
        status = self._running_process.status
        return None if status is None else os.waitstatus_to_exitcode(status)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end, whatever the exit signal is; returns `returncode`. Ctrl-C works.

        Raises:
            subprocess.TimeoutExpired: it still runs after `timeout` seconds.
        """
        status = self._running_process.wait(timeout)
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self._what, timeout)
        return os.waitstatus_to_exitcode(status)

    def poll(self) -> int | None:
        """Looks whether the process has ended; returns `returncode`."""
        self._running_process.wait(0)
        return self.returncode

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait()

    def __repr__(self) -> str:
        return f"<Child {self.pid} of {self._what}, returncode {self.returncode}>"

    def __del__(self) -> None:
        running = getattr(self, "_running_process", None)
        if running is not None and running.kept and running.status is None:
            warnings.warn(f"child {self.pid} was not waited for", ResourceWarning, source=self, stacklevel=2)


def clone(
    fn: Any,
    flags: CloneFlags | int = 0,
    args: Sequence[Any] = (),
    *,
    exit_signal: int = signal.SIGCHLD,
    stack_size: int | None = None,
    cgroup: int | str | os.PathLike[str] | None = None,
    set_tid: Sequence[int] = (),
    uid_map: str | None = None,
    gid_map: str | None = None,
) -> Child:
    """Makes a process by clone3(2), or by clone(2) where clone3 is refused, that runs a function.

    Args:
        fn: a native function (all that `native` takes) or a Python callable. A native function's integer result is the
            exit status, its low byte. Without CLONE_VM it runs on a copy of a process in which other threads may have
            held any lock, so it must be async-signal-safe (signal-safety(7)). With CLONE_VM it has its own stack and libc
            descriptor, and shares the interpreter's memory. A Python callable runs as in a child of os.fork; it returns
            None or an exit status.
        flags: what is shared and what is new. CLONE_THREAD is refused: `kthreads.Thread` makes threads. A Python callable
            takes NEW* namespaces, CLEAR_SIGHAND and INTO_CGROUP (see `cgroup`): libc's fork makes it, which shares
            nothing.
        args: arguments of `fn`.
        exit_signal: the signal that the parent gets at the end, 0 for none. SIGCHLD for a Python callable.
        stack_size: in bytes, of a native function with CLONE_VM.
        cgroup: the folder of a cgroup (version 2) to start in, or a descriptor of it (Linux 5.7).
        set_tid: its process ids, the one of the innermost PID namespace first (Linux 5.5; needs CAP_CHECKPOINT_RESTORE).
        uid_map: the text that the parent writes into its uid_map before it runs, with CLONE_NEWUSER.
        gid_map: the same for its gid_map, after setgroups was denied. See user_namespaces(7).

    Raises:
        ValueError: flags that do not go together, or not with this function; the message says why.
        NamespaceError, ProcessStartError: the kernel has refused. No process is left.
    """
    is_c = is_native(fn)
    if not is_c and not callable(fn):
        raise TypeError(f"fn must be a native function or callable, not {type(fn).__name__}")
    flags = check_process_flags(flags_of(flags), python=not is_c, exit_signal=exit_signal)
    arguments, pids = check_arguments("args", args), check_numbers("set_tid", set_tid, 1)
    check_cgroup(cgroup)
    for name, text in (("uid_map", uid_map), ("gid_map", gid_map)):
        if text is not None and not isinstance(text, str):
            raise TypeError(f"{name} must be the text of the map, such as '0 1000 1', not {text!r}")
    if stack_size is not None:
        check_number("stack_size", stack_size, 1, sys.maxsize)
    if stack_size is not None and not flags & CloneFlags.VM:
        raise ValueError("stack_size is for CLONE_VM: without it the child continues on a copy of this stack")
    if flags & CloneFlags.INTO_CGROUP and cgroup is None:
        raise ValueError("CLONE_INTO_CGROUP needs cgroup=, which is enough by itself")
    steps = Steps()
    if uid_map is not None or gid_map is not None or not is_c:
        steps.go()
    options: dict[str, Any] = {
        "exit_signal": exit_signal,
        "stack_size": stack_size,
        "set_tid": pids,
        "uid_map": uid_map,
        "gid_map": gid_map,
        "setgroups": "deny" if gid_map is not None else None,
    }
    child = Child(flags, str(getattr(fn, "name", None) or getattr(fn, "__qualname__", fn)))
    running = child._running_process
    try:
        with Descriptors() as opened:
            if cgroup is not None and not isinstance(cgroup, int):
                cgroup = opened.open(os.open, cgroup, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            if is_c:
                start(running, flags, steps, call=native(fn).bind(arguments), cgroup=cgroup, **options)
            else:
                start_python(running, flags, steps, lambda: fn(*arguments), cgroup=cgroup, **options)
        running.kept = True
    except BaseException:
        running.abandon()
        raise
    return child
