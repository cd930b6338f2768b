"""`kthreads run`: a program in a small container on a plain folder."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from kthreads.cli.accounts import Account, account_of
from kthreads.cli.announcements import Announcements, StoppedError
from kthreads.cli.attendance import ATTENDED, Attendance
from kthreads.cli.environment import environment_of
from kthreads.cli.execute import NOT_EXECUTABLE, NOT_FOUND
from kthreads.cli.kept_capabilities import kept_capabilities
from kthreads.cli.message import complain
from kthreads.cli.mount_options import mounts_of
from kthreads.cli.parser import Parser
from kthreads.cli.run_options import add_options
from kthreads.cli.signals import Signals
from kthreads.errors import KThreadsError
from kthreads.flags.clone_flags import CloneFlags
from kthreads.processes.idmap import is_configured
from kthreads.processes.mounts import Overlay
from kthreads.processes.process import Process

if TYPE_CHECKING:
    from kthreads.cli.cgroup import Cgroup
    from kthreads.cli.terminal import Terminal

NAME = "kthreads run"
_FAILURE = 125  # the container could not be started; the same status as docker and podman

_ALWAYS = CloneFlags.NEWNS | CloneFlags.NEWUTS | CloneFlags.NEWIPC | CloneFlags.NEWPID | CloneFlags.NEWCGROUP


def _namespaces(options: argparse.Namespace) -> CloneFlags:
    """All namespaces except time and, with --net=host, network. A user namespace only if it is requested or required."""
    namespaces = _ALWAYS
    if options.net == "none":
        namespaces |= CloneFlags.NEWNET
    if options.userns or options.map_auto or os.geteuid() != 0:
        namespaces |= CloneFlags.NEWUSER
    return namespaces


def _identity(options: argparse.Namespace, account: Account | None, with_users: bool) -> dict[str, Any]:
    """The user of the program, and the users that there are, as parameters of `Process`."""
    whom = {} if account is None else {"user": account.uid, "group": account.gid, "extra_groups": account.groups}
    if not with_users:
        return whom
    # User 0 inside is for root another user than the host's root, where there is a range for it.
    if options.map_auto or (os.geteuid() == 0 and is_configured()):
        return whom | {"uid_map": "auto", "gid_map": "auto"}
    # There is one user: the program's, who is this command's outside.
    uid, gid = (0, 0) if account is None else (account.uid, account.gid)
    return {"uid_map": uid, "gid_map": gid}


def _root(options: argparse.Namespace) -> str | Overlay | None:
    if options.overlay and options.root is None:
        raise ValueError("--overlay is over the folder of --root")
    return Overlay("/", [options.root], temporary=True) if options.overlay else options.root


def _kernel_settings(options: argparse.Namespace) -> dict[str, Any]:
    of_host = [name for name, _ in options.sysctl if name.startswith(("net.", "net/")) and options.net == "host"]
    if of_host:
        raise ValueError(f"the sysctl {of_host[0]} is of the host's network: leave --net=host out")
    return {
        "hostname": options.hostname,
        "domainname": options.domainname,
        "sysctls": dict(options.sysctl) or None,
        "rlimits": dict(options.ulimit) or None,
    }


def _start(
    options: argparse.Namespace,
    cgroup: Cgroup | None,
    terminal: Terminal | None,
    before_go: Callable[[int], None] | None,
) -> Process:
    namespaces = _namespaces(options)
    account = None if options.user is None else account_of(options.user, options.root)
    if terminal is not None and account is not None and not namespaces & CloneFlags.NEWUSER:
        terminal.give_to(account.uid)
    return Process(
        options.program,
        namespaces=namespaces,
        root=_root(options),
        read_only=options.read_only,
        writable_kernel_files=options.writable_kernel_files,
        mounts=mounts_of(options, None if terminal is None else terminal.path),
        cgroup=None if cgroup is None else cgroup.path,
        seccomp=options.seccomp,
        disable_userns=options.disable_userns,
        keep_capabilities=kept_capabilities(options),
        parent_death_signal=signal.SIGKILL,
        init=not options.no_init,
        before_go=before_go,
        cwd=options.workdir,
        env=environment_of(options, None if account is None else account.home),
        **_kernel_settings(options),
        **_identity(options, account, bool(namespaces & CloneFlags.NEWUSER)),
        **({} if terminal is None else terminal.settings),
    )


def _failure(error: Exception, program: str) -> int:
    """The exit status for a container that did not start: 127 and 126 where it was the program."""
    if isinstance(error, OSError) and error.filename is not None and os.fsdecode(error.filename) == program:
        complain(NAME, f"failed to execute {program}: {error.strerror}")
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    complain(NAME, error)
    return _FAILURE


def _before_go(options: argparse.Namespace, announcements: Announcements) -> Callable[[int], None] | None:
    """What is done while the container waits for its first step, if there is anything to do."""
    if options.cpuset_cpus is None and not announcements.are_wanted:
        return None

    def call(pid: int) -> None:
        if options.cpuset_cpus is not None:
            _bind_to_cpus(pid, options.cpuset_cpus)
        announcements.before_go(pid)

    return call


def _bind_to_cpus(pid: int, cpus: frozenset[int]) -> None:
    with contextlib.suppress(OSError):
        os.sched_setaffinity(pid, cpus)
    if missing := cpus - os.sched_getaffinity(pid):
        raise ValueError(f"the program cannot run on CPU {', '.join(map(str, sorted(missing)))}: see --cpuset-cpus")


def _cgroup(options: argparse.Namespace) -> Cgroup | None:
    """The cgroup for the limits, if there are any."""
    if (options.memory, options.cpus, options.pids) == (None, None, None):
        return None
    from kthreads.cli.cgroup import Cgroup, Limits

    return Cgroup(Limits(options.memory, options.cpus, options.pids))


def _terminal(options: argparse.Namespace) -> Terminal | None:
    if not options.tty:
        return None
    from kthreads.cli.terminal import Terminal

    return Terminal()


def _run(options: argparse.Namespace) -> int:
    try:
        with contextlib.ExitStack() as stack:
            signals = stack.enter_context(Signals(ATTENDED))
            announcements = Announcements(options, signals)
            cgroup = stack.enter_context(made) if (made := _cgroup(options)) else None
            terminal = stack.enter_context(shown) if (shown := _terminal(options)) else None
            process = stack.enter_context(_start(options, cgroup, terminal, _before_go(options, announcements)))
            status = Attendance(process, signals, terminal, cgroup).status()
            status = status if status >= 0 else 128 - status
            announcements.at_end(status)
            return status
    except StoppedError as error:
        return 128 + error.number
    except (KThreadsError, OSError, ValueError) as error:
        return _failure(error, options.program[0])


def add_arguments(parser: Parser) -> None:
    """Adds the description and the options of `run`."""
    parser.description = (
        "Runs a program in namespaces of its own for mounts, host name, IPC, processes, cgroups, network and, "
        "for an unprivileged user, users, as root of them without capabilities."
    )
    parser.epilog = (
        "Ends as the program ends: with its status, or 128 and the number of the signal; 127 when there is no such "
        "program, 126 when it cannot be executed, 125 when the container could not be made."
    )
    parser.run_program(short_values=False, failure=_FAILURE, required=True)
    parser.set_defaults(run=_run)
    add_options(parser)
