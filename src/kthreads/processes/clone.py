"""A child process by clone(2) with flags of one's choice."""

from __future__ import annotations

import os
import signal
import subprocess
import warnings
from collections.abc import Generator, Sequence
from types import TracebackType
from typing import Any

from kthreads.descriptors import Descriptors
from kthreads.errors import ProcessStateError, UnsupportedError
from kthreads.flags.clone_flags import CloneFlags, check_process_flags, flags_of
from kthreads.functions.sources import is_native, native
from kthreads.processes.child_steps import Steps
from kthreads.processes.running import Launched, launch, launch_python

__all__ = ["Child", "clone"]


class Child:
    """A process made by `clone`, with the manners of `subprocess.Popen`; ``await child`` waits in asyncio.

    Attributes:
        flags: that clone was called with, those of the library's own left out.
    """

    def __init__(self, flags: CloneFlags, what: str) -> None:
        self._what = what
        self.flags = flags
        self._launched = Launched(self)

    @property
    def pid(self) -> int:
        """Its process id in our PID namespace."""
        return self._launched.pid

    @property
    def returncode(self) -> int | None:
        """None until the end was seen; then the exit status, or the negative number of the signal that ended it.

        0 where the status went elsewhere, as subprocess.Popen has it: to another wait, such as ``os.wait()``, to nobody,
        as SIGCHLD is ignored, or, with CLONE_PARENT, to our parent.
        """
        status = self._launched.status
        return None if status is None else os.waitstatus_to_exitcode(status)

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end, whatever the exit signal; returns `returncode`, or raises subprocess.TimeoutExpired when it
        still runs after `timeout` seconds. Ctrl-C works.
        """
        status = self._launched.wait(timeout)
        if status is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self._what, timeout)
        return os.waitstatus_to_exitcode(status)

    def poll(self) -> int | None:
        """Looks whether it has ended; returns `returncode`."""
        self._launched.wait(0)
        return self.returncode

    def __await__(self) -> Generator[Any, None, int]:
        return self._wait_async().__await__()

    async def _wait_async(self) -> int:
        return os.waitstatus_to_exitcode(await self._launched.wait_async())

    def send_signal(self, number: int) -> None:
        """Sends a signal by the pidfd; does nothing when it has ended."""
        self._launched.send(number)

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def fileno(self) -> int:
        """The pidfd, readable when the process has ended; closed when `wait` has seen the end.

        Raises:
            ProcessStateError: the end was seen.
            UnsupportedError: before Linux 5.3.
        """
        if self._launched.status is not None:
            raise ProcessStateError("the process has ended, and its pidfd is closed")
        if (fd := self._launched.pidfd) < 0:
            raise UnsupportedError("a pidfd needs Linux 5.3 (pidfd_open)")
        return fd

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.wait()

    def __repr__(self) -> str:
        return f"<Child {self.pid} of {self._what}, returncode {self.returncode}>"

    def __del__(self) -> None:
        launched = getattr(self, "_launched", None)
        if launched is not None and launched.kept and launched.status is None:
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
            exit status, its low byte; without CLONE_VM it runs on a copy of a process in which other threads may have
            held any lock, so it must be async-signal-safe (signal-safety(7)); with CLONE_VM it has a stack and a libc
            descriptor of its own, and the interpreter's memory beside it. A Python callable runs as in a child of
            os.fork; it returns None or an exit status.
        flags: what is shared and what is new. CLONE_THREAD makes threads: that is `kthreads.Thread`. A Python callable
            takes NEW* namespaces, CLEAR_SIGHAND and INTO_CGROUP (see `cgroup`): it is made by libc's fork, which shares
            nothing.
        args: arguments of `fn`.
        exit_signal: what the parent gets at its end, 0 for nothing. SIGCHLD for a Python callable.
        stack_size: of a native function with CLONE_VM.
        cgroup: the folder of a cgroup (version 2) to be born in, or a descriptor of it (Linux 5.7).
        set_tid: its process ids, in the innermost PID namespace first (Linux 5.5; needs CAP_CHECKPOINT_RESTORE).
        uid_map: what the parent writes into its uid_map before it runs, with CLONE_NEWUSER; likewise
        gid_map: with setgroups denied before. See user_namespaces(7).

    Raises:
        ValueError: flags that do not go together, or not with this function; the message says why.
        NamespaceError, ProcessStartError: the kernel refused; nothing is left behind.
    """
    is_c = is_native(fn)
    if not is_c and not callable(fn):
        raise TypeError(f"fn must be a native function or callable, not {type(fn).__name__}")
    flags = check_process_flags(flags_of(flags), python=not is_c, exit_signal=exit_signal)
    if stack_size is not None and not flags & CloneFlags.VM:
        raise ValueError("stack_size is for CLONE_VM: without it the child goes on with a copy of this stack")
    if flags & CloneFlags.INTO_CGROUP and cgroup is None:
        raise ValueError("CLONE_INTO_CGROUP needs cgroup=, which is enough by itself")
    steps = Steps()
    if uid_map is not None or gid_map is not None or not is_c:
        steps.go()
    options: dict[str, Any] = {
        "exit_signal": exit_signal,
        "stack_size": stack_size,
        "set_tid": set_tid,
        "uid_map": uid_map,
        "gid_map": gid_map,
        "setgroups": "deny" if gid_map is not None else None,
    }
    child = Child(flags, str(getattr(fn, "name", None) or getattr(fn, "__qualname__", fn)))
    launched = child._launched
    try:
        with Descriptors() as opened:
            if cgroup is not None and not isinstance(cgroup, int):
                cgroup = opened.open(os.open, cgroup, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            if is_c:
                launch(launched, flags, steps, call=native(fn).bind(tuple(args)), cgroup=cgroup, **options)
            else:
                launch_python(launched, flags, steps, lambda: fn(*args), cgroup=cgroup, **options)
        launched.kept = True
    except BaseException:
        launched.abandon()
        raise
    return child
