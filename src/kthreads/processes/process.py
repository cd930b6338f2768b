"""Processes with the methods of subprocess.Popen and namespaces of their own.

The only module that touches subprocess's internals: Popen's pipes, text and communicate are inherited, and the methods
that start a process, wait for it and signal it are replaced (Lib/subprocess.py, CPython 3.11 to 3.14).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

from kthreads import deadline
from kthreads.flags.clone_flags import CloneFlags
from kthreads.processes.checks import check_arguments, check_number
from kthreads.processes.child_steps import Steps, files_of
from kthreads.processes.file_system import Root
from kthreads.processes.idmap import IdMapping
from kthreads.processes.isolation import RESTORED_SIGNALS, Isolation
from kthreads.processes.joining import Entry, Joining
from kthreads.processes.mapped_files import take_mapped
from kthreads.processes.mounts import Mount
from kthreads.processes.resource_limits import ResourceLimits
from kthreads.processes.running import PidfdMethods, RunningProcess
from kthreads.processes.seccomp import Filter
from kthreads.processes.standard_descriptors import StandardDescriptors
from kthreads.processes.start import start, start_python
from kthreads.processes.sysctls import Sysctls
from kthreads.record import Record

__all__ = ["Process"]

_LONGEST_POLL = 1e6  # seconds: poll(2), by which Popen communicates, takes 2**31 ms at most
_VM, _VFORK, _CLEAR_SIGHAND = int(CloneFlags.VM), int(CloneFlags.VFORK), int(CloneFlags.CLEAR_SIGHAND)


class Process(PidfdMethods, subprocess.Popen[Any]):
    """A child process: a program, a Python callable or a native function, with namespaces of its own.

    Args:
        args: the program and its arguments, as for Popen, or a function to run; see `clone` for what it may do.
        arguments: of a function.
        namespaces: those that are new: any of `CloneFlags.NEWNS`, `NEWUTS`, `NEWIPC`, `NEWPID`, `NEWNET`, `NEWUSER`,
            `NEWCGROUP` and `NEWTIME`. Needs CAP_SYS_ADMIN, or NEWUSER among them. A new network has its loopback up.
        join: existing namespaces to enter first, each as `setns` takes it: a path, a `Namespace`, an open file, or a running
            process, all of whose namespaces are entered that are not ours. Or pairs of that, or of a descriptor, and
            flags. Those that `namespaces` has are made in the ones that were entered; a user or PID namespace can be
            entered or new, not both.
        uid_map, gid_map: of NEWUSER: "current" (the default: our id is itself), "root" (it is 0), an id (it is that),
            "auto" (0 is our id, and 1 up are what /etc/subuid gives us, by newuidmap; for root 0 up), or ranges (inside, outside, count).
            The process becomes the lowest id inside where its own is not mapped.
        setgroups: "deny" or "allow". Denied unless given where the map is of one group.
        hostname, domainname: with NEWUTS.
        sysctls: settings of the kernel by name, such as ``{"net.ipv4.ip_forward": 1}``: those of the new namespaces alone.
            NEWNET has ``net.*``, NEWIPC ``fs.mqueue.*``, ``kernel.msg*``, ``kernel.shm*`` and ``kernel.sem``, NEWUSER
            ``user.*``, NEWUTS ``kernel.domainname``.
        rlimits: limits of getrlimit(2), such as ``{"nofile": 1024, "core": (0, -1)}``: the names of `ulimit` or constants of
            `resource`, and for each the soft and the hard limit, or one number for both; -1 is no limit.
        cpus: numbers of the CPUs that it may run on at first (sched_setaffinity(2)). A program may choose others: what it
            cannot change is the cpuset of its cgroup.
        root: a folder to become the root with NEWNS, `Tmpfs()` for an empty one, or an `Overlay`. The old root is out of reach. Device
            nodes and set-user-id bits in the folder have no effect, but for ``root=Bind(folder, "/", devices=True)``.
        read_only: whether the root is, with all that is mounted in it. What `mounts` adds has settings of its own.
        mounts: those of `kthreads.mounts`, such as `Bind` and `Tmpfs`, in this order. Their mount points are made where `root`
            is given.
        proc: whether /proc is mounted anew; None for where NEWPID and NEWNS are new.
        writable_kernel_files: gives up what a container has by default: /proc/sys and the like, /sys and cgroups cannot be
            written, and /proc/kcore, /proc/keys and the like not be read.
        keep_session: gives up what a container has by default: a session of its own, so that it cannot type into the
            terminal of its starter, and a keyring of its own.
        controlling_terminal: whether descriptor 0, a terminal, becomes the controlling terminal of its session.
        cgroup: the folder of a cgroup (version 2), or a descriptor of it, to be born in (Linux 5.7).
        seccomp: a filter of its system calls: "default", which refuses keyctl, io_uring, mount and others that few programs
            need; or a BPF program, as bytes or as an open file, such as libseccomp exports. None is none, as in bubblewrap.
        disable_userns: whether it cannot make user namespaces: by a limit of NEWUSER's namespace, else by a filter.
        no_new_privs: no program can gain privileges by set-user-id and the like (PR_SET_NO_NEW_PRIVS).
        keep_capabilities: names of those to keep, or "all". None keeps all without new namespaces, and none with them. The
            others leave the bounding set, too, which needs CAP_SETPCAP or NEWUSER.
        parent_death_signal: what it gets when the thread that made it ends (PR_SET_PDEATHSIG).
        init: with NEWPID: a small init is process 1, which reaps orphans, passes signals on, and ends when the program
            does, by its exit status, or by 128 and the signal. For SIGSTOP and SIGTSTP it stops all processes in the
            namespace, which SIGCONT then continues. Without an init the program is process 1.
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
        join: Iterable[Entry] = (),
        uid_map: IdMapping | None = None,
        gid_map: IdMapping | None = None,
        setgroups: str | None = None,
        hostname: str | None = None,
        domainname: str | None = None,
        sysctls: Sysctls | None = None,
        rlimits: ResourceLimits | None = None,
        cpus: Iterable[int] | None = None,
        root: Root | None = None,
        read_only: bool = False,
        mounts: Iterable[Mount] = (),
        proc: bool | None = None,
        writable_kernel_files: bool = False,
        keep_session: bool = False,
        controlling_terminal: bool = False,
        cgroup: int | str | os.PathLike[str] | None = None,
        seccomp: Filter | None = None,
        disable_userns: bool = False,
        no_new_privs: bool = True,
        keep_capabilities: Iterable[str] | str | None = None,
        parent_death_signal: int | None = None,
        init: bool = False,
        before_go: Callable[[int], None] | None = None,
        **popen: Any,
    ) -> None:
        self._running_process = RunningProcess(self)
        self._arguments = check_arguments("arguments", arguments)
        self._runs = _kind_of(args)
        self._runs_function = self._runs != "program"
        _refuse_what_has_no_effect(self._runs_function, self._arguments, popen)
        joining = Joining(join)
        self._isolation = Isolation.of(
            namespaces=namespaces,
            join=joining.entries,
            uid_map=uid_map,
            gid_map=gid_map,
            setgroups=setgroups,
            hostname=hostname,
            domainname=domainname,
            sysctls=sysctls,
            rlimits=rlimits,
            cpus=cpus,
            root=root,
            read_only=read_only,
            mounts=mounts,
            proc=proc,
            writable_kernel_files=writable_kernel_files,
            keep_session=keep_session,
            controlling_terminal=controlling_terminal,
            cgroup=cgroup,
            seccomp=seccomp,
            disable_userns=disable_userns,
            no_new_privs=no_new_privs,
            keep_capabilities=keep_capabilities,
            parent_death_signal=parent_death_signal,
            init=init,
            before_go=before_go,
        )
        try:
            with joining:
                super().__init__(args, **popen)
            self._running_process.kept = self._child_created = True
        except BaseException:
            self._running_process.abandon()
            self._close_pipes()
            raise

    def _close_pipes(self) -> None:
        """Closes our ends of the pipes. Popen does so, too, if the exception comes before its own part is done."""
        for stream in (getattr(self, name, None) for name in ("stdin", "stdout", "stderr")):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

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
        settings = _Settings(close_fds, cwd, umask, start_new_session, process_group, gid, gids, uid, restore_signals)
        runs_program = not self._runs_function
        shares_memory = runs_program and self._isolation.may_share_memory and not settings.changes_ids
        with StandardDescriptors((p2cread, c2pwrite, errwrite), (p2cwrite, c2pread, errread), pass_fds) as descriptors:
            try:
                steps = self._steps_of(args, settings, descriptors, shares_memory)
                self._start(steps, args, executable, shell, env, cwd, shares_memory)
                self.pid = self._running_process.pid
            finally:
                self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]

    def _steps_of(self, args: Any, settings: _Settings, descriptors: StandardDescriptors, shares_memory: bool) -> Steps:
        """All steps of the child between clone and its program or function, in their order."""
        isolation, steps = self._isolation, Steps()
        taken = take_mapped(isolation.binds, isolation.uids, isolation.gids, descriptors)
        isolation.add_joins(steps)
        is_python = self._runs == "python"
        if is_python and not isolation.needs_steps_of_parent:
            steps.go()  # so that the parent has opened its pidfd before the child can end
        isolation.add_go(steps)
        isolation.add_parent_death(steps)
        isolation.add_not_dumpable(steps, shares_memory=shares_memory)
        isolation.add_cgroup_namespace(steps)
        if isolation.meets_foreign_files and settings.close_fds:
            used = [settings.cwd] if isinstance(settings.cwd, int) else []
            descriptors.add_early_close(steps, [*used, *taken.values()])
        isolation.add_mapped_ids(steps)
        isolation.add_names_and_files(steps, taken)
        if self._runs_function:
            isolation.add_init(steps)
        descriptors.add_steps(steps, settings.close_fds, at_exec=not self._runs_function)
        settings.add_directory(steps, isolation)
        settings.add_session(steps, isolation)
        isolation.add_limits(steps)
        isolation.add_bounds(steps)
        settings.add_ids(steps)
        isolation.add_privileges(steps)
        isolation.add_parent_death(steps)
        if settings.restore_signals and not is_python:
            steps.default_signals(RESTORED_SIGNALS)
        isolation.add_filter(steps)
        return steps

    def _start(
        self, steps: Steps, args: Any, executable: Any, shell: bool, env: Any, cwd: Any, shares_memory: bool
    ) -> None:
        isolation = self._isolation
        flags = int(isolation.by_clone)
        with isolation.spec_options() as options:
            if self._runs == "native":
                from kthreads.functions.sources import native

                call = native(args).bind(self._arguments)
                start(self._running_process, flags | _CLEAR_SIGHAND, steps, call=call, **options)
            elif self._runs == "python":
                start_python(self._running_process, flags, steps, lambda: args(*self._arguments), **options)
            else:
                argv, paths = _program(args, executable, shell, env)
                steps.exec(paths, argv, env, isolation.launch)
                filename = argv[0] if executable is None else executable
                sys.audit("subprocess.Popen", filename, argv, cwd, env)
                if shares_memory:
                    flags |= _VM if isolation.needs_steps_of_parent else _VM | _VFORK
                start(self._running_process, flags | _CLEAR_SIGHAND, steps, filename=filename, **options)

    def _internal_poll(self, _deadstate: int | None = None, **_: Any) -> int | None:
        return self._returncode_after(0)

    def _wait(self, timeout: float | None) -> int:
        if (code := self._returncode_after(timeout)) is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def _returncode_after(self, timeout: float | None) -> int | None:
        if self.returncode is None and (status := self._running_process.wait(timeout)) is not None:
            self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Waits for the end and returns `returncode`, as Popen does. `timeout` may have any length."""
        return super().wait(deadline.seconds(timeout))

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """Writes `input`, reads all output and waits for the end, as Popen does. `timeout` may have any length."""
        left = deadline.seconds(timeout)
        while left is not None and left > _LONGEST_POLL:
            with contextlib.suppress(subprocess.TimeoutExpired):
                return super().communicate(input, _LONGEST_POLL)
            input, left = None, left - _LONGEST_POLL  # Popen has the input already
        return super().communicate(input, left)

    def __del__(self) -> None:
        # Popen's finalizer leaves a running process to subprocess, which reaps it when it starts another one.
        if hasattr(self, "_running_process"):
            self._running_process.drop()  # so that a later start of kthreads reaps it, too
        super().__del__()


def _kind_of(args: Any) -> Literal["program", "native", "python"]:
    """What is to run. To start a program, native functions need not be known."""
    if type(args) in (str, bytes, list, tuple):
        return "program"
    from kthreads.functions.sources import is_native

    if is_native(args):
        return "native"
    return "python" if callable(args) else "program"


def _program(args: Any, executable: Any, shell: bool, env: Any) -> tuple[list[Any], list[Any]]:
    """argv, and the paths to try, as Popen finds them."""
    argv = [args] if isinstance(args, str | bytes | os.PathLike) else list(args)
    if shell:
        argv = ["/bin/sh", "-c", *argv]
        if executable is not None:
            argv[0] = executable
    if not argv:
        raise ValueError("args must name a program")
    return argv, files_of(argv[0] if executable is None else executable, env)


class _Settings(Record):
    """The settings of subprocess.Popen that are steps of the child."""

    close_fds: bool
    cwd: Any
    umask: int
    start_new_session: bool
    process_group: int
    gid: int | None
    gids: list[int] | None
    uid: int | None
    restore_signals: bool

    @property
    def changes_ids(self) -> bool:
        return not (self.gid is None and self.gids is None and self.uid is None)

    def add_directory(self, steps: Steps, isolation: Isolation) -> None:
        if self.cwd is not None or isolation.root is not None:
            steps.chdir("/" if self.cwd is None else self.cwd, in_root=isolation.meets_foreign_files)
        if self.umask >= 0:
            steps.umask(check_number("umask", self.umask, 0, 0o7777))

    def add_session(self, steps: Steps, isolation: Isolation) -> None:
        check_number("process_group", self.process_group, -1)
        if isolation.leaves_session:
            if self.process_group > 0:
                raise ValueError("a process group of this session needs keep_session=True")
            steps.setsid()
            steps.keyring()
        elif self.start_new_session:
            steps.setsid()
        if isolation.controlling_terminal:
            steps.terminal(0)
        if self.process_group >= 0 and not isolation.leaves_session:
            steps.setpgid(self.process_group)

    def add_ids(self, steps: Steps) -> None:
        if self.gids is not None:
            steps.groups(self.gids)
        if self.gid is not None:
            steps.gid(self.gid)
        if self.uid is not None:
            steps.uid(self.uid)


def _refuse_what_has_no_effect(runs_function: bool, arguments: tuple[Any, ...], popen: dict[str, Any]) -> None:
    """Raises ValueError for parameters that would have no effect."""
    if popen.get("preexec_fn") is not None:
        raise ValueError("preexec_fn is not supported: pass a Python callable to run instead of a program")
    if arguments and not runs_function:
        raise ValueError("arguments= are those of a function; a program's belong to args, as in [program, *arguments]")
    for name in ("executable", "shell", "env"):
        if runs_function and popen.get(name) not in (None, False):
            raise ValueError(
                f"{name}= is for programs: a function is called as it is, with the environment of this process"
            )
