"""Processes with the manners of subprocess.Popen and namespaces of their own.

The only module that touches subprocess's internals: Popen's pipes, text and communicate are inherited, and the methods
that start a process, wait for it and signal it are replaced (Lib/subprocess.py, CPython 3.11 to 3.14).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

from kthreads import deadline
from kthreads.descriptors import Descriptors
from kthreads.errors import ProcessStateError, UnsupportedError
from kthreads.flags.clone_flags import CloneFlags
from kthreads.functions.sources import is_native, native
from kthreads.processes.child_steps import Steps
from kthreads.processes.idmap import IdMapping
from kthreads.processes.isolation import RESTORED_SIGNALS, Container
from kthreads.processes.mounts import Mount, Tmpfs
from kthreads.processes.running import Launched, launch, launch_python

__all__ = ["Process"]

_LONGEST_POLL = 1e6  # seconds: poll(2), by which Popen communicates, takes 2**31 ms at most
_VM, _VFORK, _CLEAR_SIGHAND = int(CloneFlags.VM), int(CloneFlags.VFORK), int(CloneFlags.CLEAR_SIGHAND)


class Process(subprocess.Popen[Any]):
    """A child process: a program, a Python callable or a native function, with namespaces of its own.

    Args:
        args: the program and its arguments, as for Popen, or a function to run; see `clone` for what it may do.
        arguments: of a function.
        namespaces: those that are new: any of `CloneFlags.NEWNS`, `NEWUTS`, `NEWIPC`, `NEWPID`, `NEWNET`, `NEWUSER`,
            `NEWCGROUP` and `NEWTIME`. Needs CAP_SYS_ADMIN, or NEWUSER among them. A new network has its loopback up.
        join: existing namespaces to enter first, as (descriptor, flags) for setns(2); the program then runs in a child
            of the process, which passes signals on and ends like it. Unless `parent_death_signal` says otherwise, it is
            killed where the process is.
        uid_map, gid_map: of NEWUSER: "current" (the default: our id is itself), "root" (it is 0), an id (it is that),
            "auto" (0 is our id, and 1 up are what /etc/subuid gives us, by newuidmap), or ranges (inside, outside, count).
            The process becomes the lowest id inside where its own is not mapped.
        setgroups: "deny" or "allow". Denied unless given where the map is of one group.
        hostname: with NEWUTS.
        root: a folder to become the root with NEWNS, or `Tmpfs()` for an empty one. The old root is out of reach.
        read_only: whether the root is (Linux 5.12).
        mounts: `Bind`, `Tmpfs`, `Proc`, `Dev`, `Sys` and `Overlay`, mounted in this order. Their mount points are made
            where `root` is given.
        proc: whether /proc is mounted anew; None for where NEWPID and NEWNS are new.
        cgroup: the folder of a cgroup (version 2), or a descriptor of it, to be born in (Linux 5.7).
        no_new_privs: no program can gain privileges by set-user-id and the like (PR_SET_NO_NEW_PRIVS).
        keep_capabilities: names of those to keep, or "all". None keeps all without new namespaces, and none with them.
        parent_death_signal: what it gets when the thread that made it ends (PR_SET_PDEATHSIG).
        init: with NEWPID: a small init is process 1, which reaps orphans, passes signals on, and ends when the program
            does, by its exit status, or by 128 and the signal. Without it the program is process 1.
        before_go: called with the pid while the process waits before its first step.
        **popen: all other parameters of subprocess.Popen but preexec_fn, with the same meaning. `cwd` is inside of
            `root`, which is "/" where it is not given. `shell`, `executable` and `env` are for programs.

    A function gets no descriptors but 0, 1, 2 and `pass_fds`, as a program does; close_fds=False leaves them open.
    A Python callable keeps what the interpreter does with signals, so `restore_signals` is not for it.
    ``await process`` waits for it in asyncio and returns `returncode`. Everything else is subprocess.Popen's.

    Raises:
        ValueError: settings that do not go together.
        NamespaceError, ProcessStartError: what failed in the child, with its step; a FileNotFoundError or
            PermissionError where it is one. Nothing is left behind.
    """

    def __init__(
        self,
        args: Any,
        *,
        arguments: Sequence[Any] = (),
        namespaces: CloneFlags | int = 0,
        join: Iterable[tuple[int, int]] = (),
        uid_map: IdMapping | None = None,
        gid_map: IdMapping | None = None,
        setgroups: str | None = None,
        hostname: str | None = None,
        root: str | os.PathLike[str] | Tmpfs | None = None,
        read_only: bool = False,
        mounts: Iterable[Mount] = (),
        proc: bool | None = None,
        cgroup: int | str | os.PathLike[str] | None = None,
        no_new_privs: bool = True,
        keep_capabilities: Iterable[str] | str | None = None,
        parent_death_signal: int | None = None,
        init: bool = False,
        before_go: Callable[[int], None] | None = None,
        **popen: Any,
    ) -> None:
        self._launched = Launched(self)
        self._arguments = tuple(arguments)
        self._runs_function = callable(args) or is_native(args)
        _refuse_what_has_no_effect(self._runs_function, self._arguments, popen)
        self._container = Container.of(
            namespaces=namespaces,
            join=tuple((fd, int(flags)) for fd, flags in join),
            uid_map=uid_map,
            gid_map=gid_map,
            setgroups=setgroups,
            hostname=hostname,
            root=root,
            read_only=read_only,
            mounts=tuple(mounts),
            proc=proc,
            cgroup=cgroup,
            no_new_privs=no_new_privs,
            keep_capabilities=keep_capabilities,
            parent_death_signal=parent_death_signal,
            init=init,
            before_go=before_go,
        )
        try:
            super().__init__(args, **popen)
            self._launched.kept = self._child_created = True
        except BaseException:
            self._launched.abandon()
            self._close_pipes()
            raise

    def _close_pipes(self) -> None:
        """Closes our ends of the pipes. Popen does, too, for an exception that comes before it has done its part."""
        for stream in (getattr(self, name, None) for name in ("stdin", "stdout", "stderr")):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    # ---- What Popen calls ---------------------------------------------------------------------------------------

    def _execute_child(
        self,
        args: Any,
        executable: Any,
        preexec_fn: None,
        close_fds: bool,
        pass_fds: tuple[int, ...],
        cwd: Any,
        env: Any,
        startupinfo: Any,
        creationflags: Any,
        shell: bool,
        p2cread: int,
        p2cwrite: int,
        c2pread: int,
        c2pwrite: int,
        errread: int,
        errwrite: int,
        restore_signals: bool,
        gid: int | None,
        gids: list[int] | None,
        uid: int | None,
        umask: int,
        start_new_session: bool,
        process_group: int,
    ) -> None:
        steps = Steps()
        container = self._container
        runs_function = self._runs_function
        standard, ours = (p2cread, c2pwrite, errwrite), (p2cwrite, c2pread, errread)
        with _Standard(standard, ours, pass_fds) as descriptors:
            try:
                if runs_function and not is_native(args) and not container.needs_steps_of_parent:
                    steps.go()  # so that its pidfd is open before it can end
                identity = not (gid is None and gids is None and uid is None)
                shares = not runs_function and container.may_share_memory and not identity
                container.enter(steps, shares_memory=shares)
                descriptors.add_steps(steps, close_fds, at_exec=not runs_function)
                if cwd is not None or container.root is not None:
                    steps.chdir("/" if cwd is None else cwd)
                if umask >= 0:
                    steps.umask(umask)
                if start_new_session:
                    steps.setsid()
                if process_group >= 0:
                    steps.setpgid(process_group)
                _add_identity(steps, gid, gids, uid)
                container.confine(steps)
                if restore_signals and not (callable(args) and not is_native(args)):
                    steps.default_signals(RESTORED_SIGNALS)
                self._launch(steps, args, executable, shell, env, cwd, shares)
                self.pid = self._launched.pid
            finally:
                self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]

    def _launch(self, steps: Steps, args: Any, executable: Any, shell: bool, env: Any, cwd: Any, shares: bool) -> None:
        container = self._container
        flags = int(container.by_clone)
        with container.spec_options() as options:
            if is_native(args):
                call = native(args).bind(self._arguments)
                launch(self._launched, flags | _CLEAR_SIGHAND, steps, call=call, **options)
            elif self._runs_function:
                launch_python(self._launched, flags, steps, lambda: args(*self._arguments), **options)
            else:
                argv, paths = _program(args, executable, shell, env)
                steps.exec(paths, argv, env)
                filename = argv[0] if executable is None else executable
                sys.audit("subprocess.Popen", filename, argv, cwd, env)
                if shares:
                    flags |= _VM if container.needs_steps_of_parent else _VM | _VFORK
                launch(self._launched, flags | _CLEAR_SIGHAND, steps, filename=filename, **options)

    def _internal_poll(self, _deadstate: int | None = None, **_: Any) -> int | None:
        return self._returncode_after(0)

    def _wait(self, timeout: float | None) -> int:
        if (code := self._returncode_after(timeout)) is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def _returncode_after(self, timeout: float | None) -> int | None:
        if self.returncode is None and (status := self._launched.wait(timeout)) is not None:
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end and returns `returncode`, as Popen's; `timeout` may be as long as it likes."""
        return super().wait(deadline.seconds(timeout))

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Writes `input`, reads all output and waits for the end, as Popen's; likewise."""
        left = deadline.seconds(timeout)
        while left is not None and left > _LONGEST_POLL:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return super().communicate(input, _LONGEST_POLL)
            input, left = None, left - _LONGEST_POLL  # what was given is being written already
        return super().communicate(input, left)

    def send_signal(self, sig: int) -> None:
        """Sends a signal by the pidfd, so never to another process; does nothing when it has ended."""
        self._launched.send(sig)

    def __del__(self) -> None:
        # Popen's finalizer hands what still runs over to subprocess, which reaps it at a later start of its own.
        if hasattr(self, "_launched"):
            self._launched.drop()  # so that ours do, too
        super().__del__()

    # ---- What Popen lacks ------------------------------------------------------------------------------------------

    def fileno(self) -> int:
        """The pidfd, readable when the process has ended; closed when `wait` or `poll` has seen the end.

        Raises:
            ProcessStateError: the end was seen.
            UnsupportedError: before Linux 5.3.
        """
        if self._launched.status is not None:
            raise ProcessStateError("the process has ended, and its pidfd is closed")
        if (fd := self._launched.pidfd) < 0:
            raise UnsupportedError("a pidfd needs Linux 5.3 (pidfd_open)")
        return fd

    def __await__(self) -> Generator[Any, None, int]:
        return self._wait_async().__await__()

    async def _wait_async(self) -> int:
        if self.returncode is None:
            self.returncode = os.waitstatus_to_exitcode(await self._launched.wait_async())
        return self.returncode


def _program(args: Any, executable: Any, shell: bool, env: Any) -> tuple[list[Any], list[Any]]:
    """argv, and the paths to try, as Popen finds them."""
    argv = [args] if isinstance(args, str | bytes | os.PathLike) else list(args)
    if shell:
        argv = ["/bin/sh", "-c", *argv]
        if executable is not None:
            argv[0] = executable
    if not argv:
        raise ValueError("args must name a program")
    program = os.fspath(argv[0] if executable is None else executable)
    if os.path.dirname(program):
        return argv, [program]
    return argv, [os.path.join(os.fsencode(folder), os.fsencode(program)) for folder in os.get_exec_path(env)]


def _add_identity(steps: Steps, gid: int | None, gids: list[int] | None, uid: int | None) -> None:
    if gids is not None:
        steps.groups(gids)
    if gid is not None:
        steps.gid(gid)
    if uid is not None:
        steps.uid(uid)


class _Standard(Descriptors):
    """Standard descriptors and those passed on, put where a step of another cannot overwrite one before its turn.

    Args:
        standard: what becomes 0, 1 and 2; -1 for what stays as it is.
        ours: our ends of pipes to the child.
        passed: pass_fds.
    """

    def __init__(self, standard: tuple[int, int, int], ours: tuple[int, int, int], passed: tuple[int, ...]) -> None:
        super().__init__()
        self._standard, self._ours, self._passed = standard, ours, passed

    def _out_of_the_way(self, fd: int, number: int) -> int:
        return fd if fd > 2 or fd == number else self.open(fcntl.fcntl, fd, fcntl.F_DUPFD_CLOEXEC, 3)

    def add_steps(self, steps: Steps, close_fds: bool, *, at_exec: bool) -> None:
        sources = [(self._out_of_the_way(fd, number), number) for number, fd in enumerate(self._standard) if fd >= 0]
        if not at_exec:
            self._close_what_exec_would(steps, {number for _, number in sources})
        for fd, number in sources:
            steps.dup(fd, number)
        if close_fds and at_exec:
            steps.close(3, at_exec=True)
            for fd in self._passed:
                steps.dup(fd, fd)
        elif close_fds:
            self._close_all_but_passed(steps)

    def _close_what_exec_would(self, steps: Steps, replaced: set[int]) -> None:
        """In a child that runs a function: our ends of its pipes, which would keep it from seeing their end, and what
        has a number of a standard descriptor by chance, as we run without that."""
        by_chance = {fd for fd in range(3) if _closes_at_exec(fd)}
        for fd in (by_chance | set(self._ours)) - replaced - set(self._passed) - {-1}:
            steps.close(fd, fd, at_exec=False)

    def _close_all_but_passed(self, steps: Steps) -> None:
        first = 3
        for fd in sorted(fd for fd in set(self._passed) if fd > 2):
            if fd > first:
                steps.close(first, fd - 1, at_exec=False)
            first = fd + 1
        steps.close(first, at_exec=False)


def _closes_at_exec(fd: int) -> bool:
    try:
        return not os.get_inheritable(fd)
    except OSError:  # it is not open
        return False


def _refuse_what_has_no_effect(runs_function: bool, arguments: tuple[Any, ...], popen: dict[str, Any]) -> None:
    """Raises ValueError for parameters that would be passed over."""
    if popen.get("preexec_fn") is not None:
        raise ValueError("preexec_fn is not supported: pass a Python callable to run instead of a program")
    if arguments and not runs_function:
        raise ValueError("arguments= are those of a function; a program's belong to args, as in [program, *arguments]")
    for name in ("executable", "shell", "env"):
        if runs_function and popen.get(name) not in (None, False):
            raise ValueError(
                f"{name}= is for programs: a function is called as it is, with the environment that we have"
            )
