"""`kthreads run`: a program in a small container on a plain folder."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import sys
from typing import Any

from kthreads.cli.cgroup import Cgroup, Limits
from kthreads.cli.execute import NOT_EXECUTABLE, NOT_FOUND
from kthreads.cli.parser import Parser, positive
from kthreads.errors import KThreadsError
from kthreads.flags.clone_flags import CloneFlags
from kthreads.processes.mounts import Bind, Dev, Mount, Tmpfs
from kthreads.processes.process import Process

NAME = "kthreads run"
_FAILURE = 125  # the container could not be started; the same status as docker and podman

_ALWAYS = CloneFlags.NEWNS | CloneFlags.NEWUTS | CloneFlags.NEWIPC | CloneFlags.NEWPID | CloneFlags.NEWCGROUP
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _namespaces(options: argparse.Namespace) -> CloneFlags:
    """All namespaces except time and, with --net=host, network. A user namespace only if it is requested or required."""
    namespaces = _ALWAYS
    if options.net == "none":
        namespaces |= CloneFlags.NEWNET
    if options.userns or os.geteuid() != 0:
        namespaces |= CloneFlags.NEWUSER
    return namespaces


def _mounts(options: argparse.Namespace) -> list[Mount]:
    mounts: list[Mount] = []
    if options.root is not None:
        mounts.append(Dev())
    if options.read_only and os.path.isdir(os.path.join(options.root or "/", "tmp")):
        mounts.append(Tmpfs("/tmp", mode=0o1777))
    return [*mounts, *map(Tmpfs, options.tmpfs), *options.bind]


def _environment(options: argparse.Namespace) -> dict[str, str]:
    """The environment of the program. It inherits this process's variables only without --root."""
    in_a_root = {"PATH": _PATH, "HOME": "/root", "TERM": os.environ.get("TERM", "dumb")}
    return (dict(os.environ) if options.root is None else in_a_root) | dict(options.env)


def _start(options: argparse.Namespace, cgroup: Cgroup | None) -> Process:
    namespaces = _namespaces(options)
    with_users = bool(namespaces & CloneFlags.NEWUSER)
    identity: dict[str, Any] = {}
    if options.user is not None:
        uid, gid = options.user
        identity = {"user": uid, "group": gid, "extra_groups": []}
    return Process(
        options.program,
        namespaces=namespaces,
        uid_map="root" if with_users else None,
        gid_map="root" if with_users else None,
        hostname=options.hostname,
        root=options.root,
        read_only=options.read_only,
        mounts=_mounts(options),
        cgroup=None if cgroup is None else cgroup.path,
        keep_capabilities=options.keep_capability,
        parent_death_signal=signal.SIGKILL,
        init=not options.no_init,
        cwd=options.workdir,
        env=_environment(options),
        **identity,
    )


class _Signals:
    """What becomes of signals to this command: SIGTERM and SIGHUP go to the program, and those of the terminal's keys
    reach it by themselves. Handlers, as a signal that is ignored would stay so in the program."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._early: list[int] = []
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._pass_on)
        for number in (signal.SIGINT, signal.SIGQUIT):
            signal.signal(number, lambda *_: None)

    def _pass_on(self, number: int, _: object) -> None:
        if self._process is None:
            self._early.append(number)
        else:
            self._process.send_signal(number)

    def pass_to(self, process: Process) -> None:
        """Passes signals to the process from now on, and first those that arrived before."""
        self._process = process
        for number in self._early:
            process.send_signal(number)


def _failure(error: Exception, program: str) -> int:
    """The exit status for a container that did not start: 127 and 126 where it was the program."""
    if isinstance(error, OSError) and error.filename is not None and os.fsdecode(error.filename) == program:
        print(f"{NAME}: failed to execute {program}: {error.strerror}", file=sys.stderr)
        return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    print(f"{NAME}: {error}", file=sys.stderr)
    return _FAILURE


def _run(options: argparse.Namespace) -> int:
    limits = Limits(options.memory, options.cpus, options.pids)
    signals = _Signals()
    try:
        with contextlib.ExitStack() as stack:
            cgroup = stack.enter_context(Cgroup(limits)) if limits.files else None
            process = stack.enter_context(_start(options, cgroup))
            signals.pass_to(process)
            status = process.wait()
            return status if status >= 0 else 128 - status
    except (KThreadsError, OSError, ValueError) as error:
        return _failure(error, options.program[0])


def _bind(text: str) -> Bind:
    source, *rest = text.split(":")
    target = rest[0] if rest else source
    if len(rest) > 2 or not source or not target.startswith("/") or rest[1:] not in ([], ["ro"], ["rw"]):
        raise argparse.ArgumentTypeError(f"not SOURCE:TARGET or SOURCE:TARGET:ro, with an absolute TARGET: {text!r}")
    if not os.path.exists(source):
        raise argparse.ArgumentTypeError(f"there is no {source}")
    return Bind(source, target, read_only=rest[1:] == ["ro"])


def _bytes(text: str) -> int:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([bkmgt]?)(?:i?b)?", text.lower())
    if found is None or float(found[1]) <= 0:
        raise argparse.ArgumentTypeError(f"not a size, such as 64M or 1.5G: {text!r}")
    return int(float(found[1]) * 1024 ** " kmgt".index(found[2] if found[2] not in ("", "b") else " "))


def _cpus(text: str) -> float:
    try:
        cpus = float(text)
    except ValueError:
        cpus = 0
    if not 0.01 <= cpus < 1e6:  # the least quota that the kernel takes is 1 ms of a period of 100
        raise argparse.ArgumentTypeError(f"not a number of CPUs, such as 1.5: {text!r}")
    return cpus


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    return (name, value) if "=" in text else (name, os.environ.get(name, ""))


def _user(text: str) -> tuple[int, int]:
    uid, _, gid = text.partition(":")
    if not uid.isdigit() or not (gid or uid).isdigit():
        raise argparse.ArgumentTypeError(f"not UID or UID:GID: {text!r}")
    return int(uid), int(gid or uid)


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
    add = parser.add_argument
    add("--root", metavar="DIR", help="the folder that becomes /; with a /proc and a minimal /dev")
    add("--read-only", action="store_true", help="only binds, tmpfs and a new /tmp can be written to")
    add("--bind", type=_bind, action="append", default=[], metavar="SRC:DST[:ro]", help="SRC of the host, seen at DST")
    add("--tmpfs", action="append", default=[], metavar="DIR", help="an empty file system in memory at DIR")
    add("--hostname", metavar="NAME", help="the host name in the container")
    add("--net", choices=("none", "host"), default="none", help="no network but a loopback, or the host's (none)")
    add("--memory", type=_bytes, metavar="SIZE", help="at most this much memory, such as 64M")
    add("--cpus", type=_cpus, metavar="N", help="at most N CPUs, such as 1.5")
    add("--pids", type=positive, metavar="N", help="at most N processes and threads")
    add(
        "-e",
        "--env",
        type=_pair,
        action="append",
        default=[],
        metavar="NAME[=VALUE]",
        help="set a variable, or pass on the caller's",
    )
    add("-w", "--workdir", metavar="DIR", help="the program's working directory")
    add("-u", "--user", type=_user, metavar="UID[:GID]", help="the user and group of the program")
    add("--userns", action="store_true", help="create a user namespace also as root")
    add("--keep-capability", action="append", metavar="NAME", help="a capability that the program keeps, or all")
    add("--no-init", action="store_true", help="run the program as process 1, without an init that reaps")
