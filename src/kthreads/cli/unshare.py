"""`kthreads unshare`: a program in namespaces of its own, with the options of unshare(1)."""

from __future__ import annotations

import argparse
import grp
import os
import pwd
import select
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, NoReturn

from kthreads.cli import execute, system
from kthreads.cli.parser import Parser
from kthreads.errors import KThreadsError
from kthreads.flags.clone_flags import CloneFlags
from kthreads.namespaces.enter import unshare
from kthreads.namespaces.listing import KINDS
from kthreads.processes import mount_flags
from kthreads.processes.idmap import IdMap, subordinate

NAME = "kthreads unshare"
_FAILURE = 1

_OPTIONS = {  # kind: letter, long option, what it isolates
    "mnt": ("-m", "--mount", "mounts"),
    "uts": ("-u", "--uts", "host and domain name"),
    "ipc": ("-i", "--ipc", "System V IPC and POSIX message queues"),
    "net": ("-n", "--net", "network"),
    "pid": ("-p", "--pid", "process ids, of the children"),
    "user": ("-U", "--user", "user and group ids, and privileges"),
    "cgroup": ("-C", "--cgroup", "the root of the cgroups"),
    "time": ("-T", "--time", "monotonic and boot time, of the children"),
}
_FOR_CHILDREN = {"pid": "pid_for_children", "time": "time_for_children"}

_PROPAGATION = {
    "private": mount_flags.MS_REC | mount_flags.MS_PRIVATE,
    "slave": mount_flags.MS_REC | mount_flags.MS_SLAVE,
    "shared": mount_flags.MS_REC | mount_flags.MS_SHARED,
    "unchanged": 0,
}


class _Outside:
    """A child that stays in the namespaces that the command came from, and does some work there on request.

    Args:
        work: called with the id of this process; None where there is nothing to do.
    """

    def __init__(self, work: Callable[[int], None] | None) -> None:
        self._child = 0
        if work is None:
            return
        reader, self._writer = os.pipe()
        target = os.getpid()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._writer)
            os._exit(self._wait_and_do(reader, work, target))
        os.close(reader)

    @staticmethod
    def _wait_and_do(reader: int, work: Callable[[int], None], target: int) -> int:
        if os.read(reader, 1) != b"g":
            return _FAILURE
        try:
            work(target)
        except (KThreadsError, OSError) as error:
            print(f"{NAME}: {error}", file=sys.stderr, flush=True)
            return _FAILURE
        return 0

    def close(self) -> None:
        """Closes the pipe in another child, which must not start the work."""
        if self._child:
            os.close(self._writer)
            self._child = 0

    def do(self) -> None:
        """Starts the work and waits for its end. Exits if the work has failed."""
        if not self._child:
            return
        os.write(self._writer, b"g")
        os.close(self._writer)
        if os.waitpid(self._child, 0)[1] != 0:
            sys.exit(_FAILURE)
        self._child = 0


def _keeping(files: dict[str, str]) -> Callable[[int], None] | None:
    """What binds the namespaces of a process to files (`--net=FILE`)."""

    def bind(pid: int) -> None:
        for kind, file in files.items():
            system.mount(f"/proc/{pid}/ns/{_FOR_CHILDREN.get(kind, kind)}", file, flags=mount_flags.MS_BIND)

    return bind if files else None


def _mapping(options: argparse.Namespace) -> Callable[[int], None] | None:
    """What gives a process maps of more than one id, for which it has no privilege itself."""
    maps = []
    if options.map_users is not None:
        maps.append(IdMap("uid", options.map_users.with_own(options.map_user, os.geteuid())))
    if options.map_groups is not None:
        maps.append(IdMap("gid", options.map_groups.with_own(options.map_group, os.getegid())))

    def write(pid: int) -> None:
        for ids in maps:
            if os.geteuid() == 0:
                _write(f"/proc/{pid}/{ids.kind}_map", ids.text)
            else:
                ids.write_by_helper(pid)

    return write if maps else None


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def _map_ids(options: argparse.Namespace, uid: int, gid: int) -> None:
    """Maps one user and one group, those that the caller had, which needs no privilege (user_namespaces(7))."""
    if options.map_user is not None and options.map_users is None:
        _write("/proc/self/uid_map", f"{options.map_user} {uid} 1")
    if options.map_group is not None and options.map_groups is None:
        if options.setgroups == "allow":
            raise ValueError("--setgroups=allow and --map-group exclude each other")
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/gid_map", f"{options.map_group} {gid} 1")
    if options.setgroups is not None:
        _write("/proc/self/setgroups", options.setgroups)


def _move(options: argparse.Namespace) -> None:
    """Mounts, root and working directory, in the order of unshare(1)."""
    if options.flags & CloneFlags.NEWNS and _PROPAGATION[options.propagation]:
        system.mount("none", "/", flags=_PROPAGATION[options.propagation])
    if options.root is not None:
        os.chroot(options.root)
    directory = options.wd or (options.root and "/")
    if directory:
        os.chdir(directory)
    if options.mount_proc is not None:
        if options.root is None and options.propagation != "private":
            system.mount("none", options.mount_proc, flags=mount_flags.MS_PRIVATE | mount_flags.MS_REC)
        system.mount(
            "proc", options.mount_proc, "proc", mount_flags.MS_NOSUID | mount_flags.MS_NOEXEC | mount_flags.MS_NODEV
        )


def _become(options: argparse.Namespace) -> None:
    if options.setgid is not None:
        os.setgroups([])
        os.setgid(options.setgid)
    if options.setuid is not None:
        os.setuid(options.setuid)


def _fork(options: argparse.Namespace) -> int:
    """Forks; returns in the child 0, in the parent the child's id. The parent does not take SIGINT and SIGTERM from the
    terminal: the child does, and the parent ends as it ends."""
    parent = os.pidfd_open(os.getpid()) if options.kill_child else -1
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if options.kill_child:
            system.set_parent_death_signal(options.kill_child)
            poll = select.poll()
            poll.register(parent, select.POLLIN)
            if poll.poll(0):  # it ended before the signal was asked for
                os._exit(_FAILURE)
    if parent >= 0:
        os.close(parent)
    return child


def _run(options: argparse.Namespace) -> int:
    try:
        return _unshare(options)
    except (KThreadsError, OSError, ValueError) as error:
        print(f"{NAME}: {error}", file=sys.stderr)
        return _FAILURE


def _unshare(options: argparse.Namespace) -> int:
    if (options.monotonic is not None or options.boottime is not None) and not options.flags & CloneFlags.NEWTIME:
        raise ValueError("--monotonic and --boottime need a time namespace: add -T")
    uid, gid = os.geteuid(), os.getegid()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    mapper, keeper = _Outside(_mapping(options)), _Outside(_keeping(options.files))
    if options.flags:
        unshare(options.flags)
    mapper.do()
    for clock, offset in ((time.CLOCK_BOOTTIME, options.boottime), (time.CLOCK_MONOTONIC, options.monotonic)):
        if offset is not None:
            _write("/proc/self/timens_offsets", f"{clock} {offset} 0")
    child = _fork(options) if options.fork else 0
    if child or not options.fork:
        keeper.do()
    else:
        keeper.close()
    if not child:
        _go(options, uid, gid)
    return execute.end_like(execute.status_of(os.waitpid(child, 0)[1]))


def _go(options: argparse.Namespace, uid: int, gid: int) -> NoReturn:
    """The rest, in the process that becomes the program."""
    try:
        _map_ids(options, uid, gid)
        _move(options)
        _become(options)
    except (OSError, ValueError) as error:
        print(f"{NAME}: {error}", file=sys.stderr, flush=True)
        os._exit(_FAILURE)
    execute.execute(NAME, options.program)


class _Isolate(argparse.Action):
    """An option that adds a flag, and may name a file that is to keep the namespace."""

    def __call__(self, parser: Any, options: argparse.Namespace, value: Any, option: str | None = None) -> None:
        options.flags |= KINDS[self.dest]
        if value:
            options.files = {**options.files, self.dest: value}


class _Imply(argparse.Action):
    """An option with a value of its own that implies a namespace: `const` is its flag and the value when none is given."""

    def __call__(self, parser: Any, options: argparse.Namespace, value: Any, option: str | None = None) -> None:
        flag, default = self.const
        options.flags |= flag
        setattr(options, self.dest, default if value is self.const else value)


class _MapBoth(argparse.Action):
    def __call__(self, parser: Any, options: argparse.Namespace, value: Any, option: str | None = None) -> None:
        options.flags |= CloneFlags.NEWUSER
        options.map_user, options.map_group = (os.geteuid(), os.getegid()) if self.const == "current" else (0, 0)


class _Ranges:
    """Ids for `--map-users` and `--map-groups`: a range, or all that subuid(5) grants the caller."""

    def __init__(self, kind: str, text: str) -> None:
        if text == "auto":
            first, count = subordinate(kind)
            self.inside, self.outside, self.count = 0, first, count
            return
        colons = text.split(":")
        numbers = [int(word) for word in (colons if len(colons) == 3 else text.split(","))]
        if len(numbers) != 3:
            raise ValueError(text)
        self.inside, self.outside, self.count = numbers if len(colons) == 3 else (numbers[1], numbers[0], numbers[2])

    def with_own(self, single: int | None, own: int) -> tuple[tuple[int, int, int], ...]:
        """The range with the caller's id put in as `single`; the ids from there on move up by one."""
        before = self.count if single is None else min(max(single - self.inside, 0), self.count)
        rows = [(self.inside, self.outside, before)]
        if single is not None:
            rows.append((single, own, 1))
            shifted = self.inside + before + (self.inside + before == single)
            rows.append((shifted, self.outside + before, self.count - before))
        return tuple(row for row in rows if row[2] > 0)


class _MapAuto(argparse.Action):
    def __call__(self, parser: Any, options: argparse.Namespace, value: Any, option: str | None = None) -> None:
        options.flags |= CloneFlags.NEWUSER
        try:
            options.map_users, options.map_groups = _Ranges("uid", "auto"), _Ranges("gid", "auto")
        except KThreadsError as error:
            parser.error(str(error))


class _KillChild(argparse.Action):
    def __call__(self, parser: Any, options: argparse.Namespace, value: Any, option: str | None = None) -> None:
        options.fork, options.kill_child = True, signal.SIGKILL if value is None else value


def user(text: str) -> int:
    """The id of a user, from its name or number."""
    return int(text) if text.isdigit() else pwd.getpwnam(text).pw_uid


def group(text: str) -> int:
    """The id of a group, from its name or number."""
    return int(text) if text.isdigit() else grp.getgrnam(text).gr_gid


def _signal(text: str) -> int:
    if text.isdigit():
        return int(text)
    try:
        return signal.Signals["SIG" + text.upper().removeprefix("SIG")]
    except KeyError:
        raise argparse.ArgumentTypeError(f"unknown signal: {text}") from None


def parsed(convert: Any) -> Any:
    def check(text: str) -> int:
        try:
            return int(convert(text))
        except (KeyError, ValueError):
            raise argparse.ArgumentTypeError(f"failed to parse {convert.__name__} {text!r}") from None

    return check


def _range(kind: str) -> Callable[[str], _Ranges]:
    def parse(text: str) -> _Ranges:
        try:
            return _Ranges(kind, text)
        except (ValueError, KThreadsError) as error:
            raise argparse.ArgumentTypeError(f"invalid mapping {text!r}: {error}") from None

    return parse


def add_arguments(parser: Parser) -> None:
    """Adds the description and the options of `unshare`."""
    parser.description = "Runs a program in namespaces of its own, with the options and exit statuses of unshare(1)."
    parser.run_program(short_values=False, failure=_FAILURE)
    parser.set_defaults(run=_run, flags=CloneFlags(0), files={}, fork=False, kill_child=0)
    parser.set_defaults(map_user=None, map_group=None, map_users=None, map_groups=None, mount_proc=None)
    add = parser.add_argument
    for kind, (letter, name, what) in _OPTIONS.items():
        add(letter, name, dest=kind, nargs="?", metavar="FILE", action=_Isolate, help=f"{what}; FILE keeps it")
    add("-f", "--fork", action="store_true", help="run the program as a child")
    add(
        "--kill-child",
        nargs="?",
        type=_signal,
        metavar="SIGNAL",
        action=_KillChild,
        help="kill the child when this command ends",
    )
    add("-r", "--map-root-user", nargs=0, action=_MapBoth, help="be root in a new user namespace")
    add(
        "-c",
        "--map-current-user",
        nargs=0,
        const="current",
        action=_MapBoth,
        help="keep the user and group ids in a new user namespace",
    )
    for option, convert in (("--map-user", user), ("--map-group", group)):
        parse = parsed(convert)
        add(
            option,
            type=parse,
            metavar="ID",
            const=(CloneFlags.NEWUSER, None),
            action=_Imply,
            help="have the id ID in a new user namespace",
        )
    for option, kind in (("--map-users", "uid"), ("--map-groups", "gid")):
        flag = (CloneFlags.NEWUSER, None)
        add(
            option,
            type=_range(kind),
            metavar="INSIDE:OUTSIDE:COUNT",
            const=flag,
            action=_Imply,
            help="map a range of ids, or auto",
        )
    add("--map-auto", nargs=0, action=_MapAuto, help="map all ids that /etc/subuid and /etc/subgid grant the caller")
    add("--setgroups", choices=("allow", "deny"), help="whether setgroups(2) is allowed in the user namespace")
    proc = (CloneFlags.NEWNS, "/proc")
    add("--mount-proc", nargs="?", metavar="DIR", const=proc, action=_Imply, help="mount proc, at /proc or DIR")
    add("--propagation", choices=tuple(_PROPAGATION), default="private", help="of mounts (private)")
    add("-R", "--root", metavar="DIR", help="the program's root directory")
    add("-w", "--wd", metavar="DIR", help="the program's working directory")
    add("-S", "--setuid", type=parsed(user), metavar="UID", help="the program's user id")
    add("-G", "--setgid", type=parsed(group), metavar="GID", help="the program's group id")
    add("--monotonic", type=int, metavar="SECONDS", help="offset of the monotonic clock")
    add("--boottime", type=int, metavar="SECONDS", help="offset of the boot-time clock")
