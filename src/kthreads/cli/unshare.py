"""`kthreads unshare`: a program in namespaces of its own, with the options of unshare(1)."""

from __future__ import annotations

import argparse
import os
import select
import signal
import time
from collections.abc import Callable
from typing import NoReturn

from kthreads.cli import execute, system
from kthreads.cli.id_ranges import Kind, Range, beside
from kthreads.cli.kernel_mounts import load_format_before_root, mount_kernel_files
from kthreads.cli.message import complain
from kthreads.cli.outside import FAILURE, Gate, Outside
from kthreads.cli.parser import Parser
from kthreads.cli.unshare_options import PROPAGATION, add_options
from kthreads.errors import KThreadsError
from kthreads.flags.clone_flags import CloneFlags
from kthreads.namespaces.enter import unshare
from kthreads.processes import mount_flags
from kthreads.processes.idmap import IdMap

NAME = "kthreads unshare"

_FOR_CHILDREN = {"pid": "pid_for_children", "time": "time_for_children"}


def _keeping(files: dict[str, str]) -> Callable[[int], None] | None:
    """What binds the namespaces of a process to files (`--net=FILE`)."""

    def bind(pid: int) -> None:
        for kind, file in files.items():
            system.mount(f"/proc/{pid}/ns/{_FOR_CHILDREN.get(kind, kind)}", file, flags=mount_flags.MS_BIND)

    return bind if files else None


def _maps(options: argparse.Namespace) -> list[IdMap]:
    """The maps that the process in the namespace has no privilege for: of more than one id, or of another owner."""

    def ids(kind: Kind, ranges: tuple[Range, ...], inside: int | None, own: int) -> list[IdMap]:
        if inside is None:
            return [IdMap(kind, ranges)] if ranges else []
        return [IdMap(kind, tuple(beside((inside, own), ranges)))] if ranges or options.owner else []

    users = ids("uid", options.map_users, options.map_user, os.geteuid())
    return users + ids("gid", options.map_groups, options.map_group, os.getegid())


def _mapping(maps: list[IdMap]) -> Callable[[int], None] | None:
    """What gives a process maps."""

    def write(pid: int) -> None:
        for ids in maps:
            if os.geteuid() == 0:
                system.write(f"/proc/{pid}/{ids.kind}_map", ids.text)
            else:
                ids.write_by_helper(pid)

    return write if maps else None


def _map_own_ids(options: argparse.Namespace, mapped: set[str], uid: int, gid: int) -> None:
    """Maps one user and one group, those that the caller had, which needs no privilege (user_namespaces(7))."""
    if options.map_user is not None and "uid" not in mapped:
        system.write("/proc/self/uid_map", f"{options.map_user} {uid} 1")
    if options.map_group is not None and "gid" not in mapped:
        if options.setgroups == "allow":
            raise ValueError("--setgroups=allow and --map-group exclude each other")
        system.write("/proc/self/setgroups", "deny")
        system.write("/proc/self/gid_map", f"{options.map_group} {gid} 1")
    if options.setgroups is not None:
        system.write("/proc/self/setgroups", options.setgroups)


def _move(options: argparse.Namespace) -> None:
    """Mounts, root and working directory, in the order of unshare(1)."""
    if options.flags & CloneFlags.NEWNS and PROPAGATION[options.propagation]:
        system.mount("none", "/", flags=PROPAGATION[options.propagation])
    if options.root is None:
        if options.wd is not None:
            os.chdir(options.wd)
        mount_kernel_files(options, None)
    else:
        load_format_before_root(options)
        os.chroot(options.root)
        wd = "/" if options.wd is None else options.wd
        mount_kernel_files(options, wd)
        system.enter_in_root(wd)


def _become(options: argparse.Namespace) -> None:
    if options.setgid is not None:
        os.setgroups([])
        os.setgid(options.setgid)
    if options.setuid is not None:
        os.setuid(options.setuid)
    if options.keep_caps and options.flags & CloneFlags.NEWUSER:
        system.keep_capabilities()


class _Child:
    """The child that runs the program, with `--fork`. It takes SIGINT and SIGTERM from the terminal, its parent does not:
    the parent ends as the child ends.

    Attributes:
        pid: 0 in the child.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self._forwards = options.forward_signals
        parent = os.pidfd_open(os.getpid()) if options.kill_child else -1
        self._signals = {signal.SIGINT, signal.SIGTERM} | ({signal.SIGCHLD} if self._forwards else set())
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._signals)
        self._gate = Gate()
        self.pid = os.fork()
        if self.pid == 0:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            if options.kill_child:
                _end_with(parent, options.kill_child)
        if parent >= 0:
            os.close(parent)

    def wait_for_parent(self) -> None:
        """In the child: waits until the parent has kept what is to be kept, and ends if it could not."""
        self._gate.wait()

    def start(self) -> None:
        """In the parent: lets the child go on."""
        self._gate.open()

    def wait(self) -> int:
        """Waits for its end, and returns its status as of waitpid(2)."""
        while self._forwards:
            number = signal.sigwait(self._signals)
            if number == signal.SIGCHLD:
                ended, status = os.waitpid(self.pid, os.WNOHANG)
                if ended:
                    return status
            else:
                os.kill(self.pid, number)
        return os.waitpid(self.pid, 0)[1]


def _end_with(parent: int, number: int) -> None:
    """Has this process get a signal when its parent, a pidfd, ends."""
    system.set_parent_death_signal(number)
    poll = select.poll()
    poll.register(parent, select.POLLIN)
    if poll.poll(0):  # it ended before the signal was asked for
        os._exit(FAILURE)


def _run(options: argparse.Namespace) -> int:
    try:
        return _unshare(options)
    except (KThreadsError, OSError, ValueError) as error:
        complain(NAME, error)
        return FAILURE


def _unshare(options: argparse.Namespace) -> int:
    if (options.monotonic is not None or options.boottime is not None) and not options.flags & CloneFlags.NEWTIME:
        raise ValueError("--monotonic and --boottime need a time namespace: add -T")
    own = os.geteuid(), os.getegid()
    future_user = own[0] if options.setuid is None else options.setuid
    program = execute.Program.of(options.program, future_user, _environment(options.kept_variables))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    maps = _maps(options)
    keeper = _isolate(options, maps)
    child = _Child(options) if options.fork else None
    if child is not None and child.pid == 0:
        keeper.forget()
        child.wait_for_parent()
        _go(options, program, maps, *own)
    keeper.do()
    if child is None:
        _go(options, program, maps, *own)
    child.start()
    return execute.end_like(execute.status_of(child.wait()))


def _isolate(options: argparse.Namespace, maps: list[IdMap]) -> Outside:
    """Makes the namespaces. Returns the child that is to keep them, which has stayed outside."""
    mapper, keeper = Outside(NAME, _mapping(maps)), Outside(NAME, _keeping(options.files))
    if options.owner is not None:
        os.setgroups([])
        os.setgid(options.owner[1])
        os.setuid(options.owner[0])
    if options.flags:
        unshare(options.flags)
    mapper.do()
    for clock, offset in ((time.CLOCK_BOOTTIME, options.boottime), (time.CLOCK_MONOTONIC, options.monotonic)):
        if offset is not None:
            system.write("/proc/self/timens_offsets", f"{clock} {offset} 0")
    return keeper


def _environment(kept: tuple[str, ...] | None) -> dict[str, str] | None:
    """The variables of the program; None for all."""
    return None if kept is None else {name: os.environ[name] for name in kept if name in os.environ}


def _go(options: argparse.Namespace, program: execute.Program, maps: list[IdMap], uid: int, gid: int) -> NoReturn:
    """The rest, in the process that becomes the program."""
    try:
        _map_own_ids(options, {ids.kind for ids in maps}, uid, gid)
        _move(options)
        _become(options)
    except (KThreadsError, OSError, ValueError) as error:
        complain(NAME, error)
        os._exit(FAILURE)
    (execute.execute if options.root is None else execute.execute_in_root)(NAME, program)


def add_arguments(parser: Parser) -> None:
    """Adds the description and the options of `unshare`."""
    parser.description = "Runs a program in namespaces of its own, with the options and exit statuses of unshare(1)."
    parser.run_program(short_values=False, failure=FAILURE)
    parser.set_defaults(run=_run)
    add_options(parser)
