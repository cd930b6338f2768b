"""`kthreads nsenter`: a program in the namespaces of another process, with the options of nsenter(1)."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
from typing import Any, NoReturn

from kthreads.cli import execute, system
from kthreads.cli.parser import Parser
from kthreads.cli.unshare import group, parsed, user
from kthreads.errors import KThreadsError
from kthreads.flags.clone_flags import CloneFlags
from kthreads.namespaces.enter import setns
from kthreads.namespaces.listing import KINDS

NAME = "kthreads nsenter"
_FAILURE = 1
_FOLLOW = -1  # the id that the target has

_OPTIONS = {  # kind: letter, long option
    "mnt": ("-m", "--mount"),
    "uts": ("-u", "--uts"),
    "ipc": ("-i", "--ipc"),
    "net": ("-n", "--net"),
    "pid": ("-p", "--pid"),
    "cgroup": ("-C", "--cgroup"),
    "user": ("-U", "--user"),
    "time": ("-T", "--time"),
}


class _Plan:
    """The namespaces to enter, all opened before the first step: afterwards /proc may be a different one."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.target = options.target
        kinds = self._all_kinds() if options.all else set()
        named: dict[str, str] = {
            kind: getattr(options, kind) for kind in _OPTIONS if getattr(options, kind) is not None
        }
        files = {kind: file for kind, file in named.items() if file}
        self.steps = [(_open(files[kind]), KINDS[kind]) for kind in KINDS if kind in files]
        of_target = CloneFlags(0)
        for kind in (kinds | set(named)) - set(files):
            of_target |= KINDS[kind]
        if of_target:
            self._need_target("a namespace without =FILE")
            self.steps.insert(0, (os.pidfd_open(self.target), of_target))
        self.root = self._directory("root", options.root)
        self.wd = self._directory("cwd", options.wd)
        self.environment = self._environment() if options.env else None
        self.owner = os.stat(f"/proc/{self.target}") if _FOLLOW in (options.setuid, options.setgid) else None
        self.entered = CloneFlags(0)

    def _all_kinds(self) -> set[str]:
        """Those that the target has, except this process's own user namespace: the kernel refuses to enter it again."""
        self._need_target("--all")
        kinds = set(os.listdir(f"/proc/{self.target}/ns")) & set(KINDS)
        if os.path.samefile(f"/proc/{self.target}/ns/user", "/proc/self/ns/user"):
            kinds.discard("user")
        return kinds

    def _need_target(self, why: str) -> None:
        if self.target is None:
            raise ValueError(f"no target PID specified: {why} needs --target")

    def _directory(self, name: str, given: str | None) -> int | None:
        """A directory that was named, or for an empty name the target's; None where there is none to change to."""
        if given is None:
            return None
        if not given:
            self._need_target(f"--{'wd' if name == 'cwd' else name} without a directory")
        return _open(given or f"/proc/{self.target}/{name}")

    def _environment(self) -> dict[str, str]:
        self._need_target("--env")
        with open(f"/proc/{self.target}/environ", "rb") as file:
            pairs = [pair.partition(b"=") for pair in file.read().split(b"\0") if b"=" in pair]
        return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}

    def enter(self) -> None:
        """Enters all: the user namespace last where the caller can do the rest before, to give privileges up with it;
        else first, to gain them."""
        for _, flags in self._enter(~CloneFlags.NEWUSER, forgiving=True):
            self.entered |= flags
        for _, flags in self._enter(~CloneFlags(0), forgiving=False):
            self.entered |= flags

    def _enter(self, mask: CloneFlags, *, forgiving: bool) -> list[tuple[int, CloneFlags]]:
        """Enters what the mask allows, takes it off the steps, and returns it."""
        done, left = [], []
        for fd, flags in self.steps:
            wanted = flags & mask
            try:
                entered = setns(fd, wanted).flags if wanted else CloneFlags(0)
                done.append((fd, entered))
                rest = flags & ~wanted
            except (KThreadsError, OSError):
                if not forgiving:
                    raise
                rest = flags
            if rest:
                left.append((fd, rest))
        self.steps = left
        return done


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def _move(plan: _Plan, wdns: str | None) -> None:
    """Root and working directory."""
    wd = plan.wd
    if plan.root is not None:
        if wd is None and wdns is None:
            wd = _open(".")
        os.fchdir(plan.root)
        os.chroot(".")
        os.chdir("/")
    if wdns is not None:
        os.chdir(wdns)
    if wd is not None:
        os.fchdir(wd)


def _become(options: argparse.Namespace, plan: _Plan, groups_dropped: bool) -> None:
    """User and group: in a user namespace its root, unless something else was asked for."""
    uid, gid = options.setuid, options.setgid
    if plan.owner is not None:
        uid = plan.owner.st_uid if uid == _FOLLOW else uid
        gid = plan.owner.st_gid if gid == _FOLLOW else gid
    if plan.entered & CloneFlags.NEWUSER and not options.preserve_credentials:
        uid, gid = uid or 0, gid or 0
    if gid is not None:
        try:
            os.setgroups([])
        except PermissionError:
            if not groups_dropped:
                raise
        os.setgid(gid)
    if uid is not None:
        os.setuid(uid)


def _continue_as_child() -> None:
    """Goes on in a child, where a PID namespace takes effect; the parent stops, continues and ends as it does."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child == 0:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            break
        os.kill(os.getpid(), signal.SIGSTOP)
        os.kill(child, signal.SIGCONT)
    os._exit(execute.end_like(execute.status_of(status)))


def _run(options: argparse.Namespace) -> NoReturn:
    try:
        plan = _Plan(options)
        dropped = False
        if any(flags & CloneFlags.NEWUSER for _, flags in plan.steps) and not options.preserve_credentials:
            with contextlib.suppress(PermissionError):
                os.setgroups([])
                dropped = True
        # A process in the namespaces must not reach this program by /proc/PID/exe and write to it (CVE-2019-5736).
        system.set_not_dumpable()
        plan.enter()
        _move(plan, options.wdns)
        if plan.entered & CloneFlags.NEWPID and not options.no_fork:
            _continue_as_child()
        _become(options, plan, dropped)
    except (KThreadsError, OSError, ValueError) as error:
        print(f"{NAME}: {error}", file=sys.stderr, flush=True)
        os._exit(_FAILURE)
    execute.execute(NAME, options.program, plan.environment)


def _or_follow(convert: Any) -> Any:
    def parse(text: str) -> int:
        return _FOLLOW if text == "follow" else int(convert(text))

    return parse


def add_arguments(parser: Parser) -> None:
    """Adds the description and the options of `nsenter`."""
    parser.description = (
        "Runs a program in the namespaces of another process, with the options and exit statuses of nsenter(1)."
    )
    parser.run_program(short_values=True, failure=_FAILURE)
    parser.set_defaults(run=_run)
    add = parser.add_argument
    add("-t", "--target", type=int, metavar="PID", help="the process or thread whose namespaces are entered")
    add("-a", "--all", action="store_true", help="all of its namespaces")
    for kind, (letter, name) in _OPTIONS.items():
        add(letter, name, dest=kind, nargs="?", const="", metavar="FILE", help=f"its {kind} namespace, or that of FILE")
    add("-S", "--setuid", type=_or_follow(parsed(user)), metavar="UID", help="the program's user id, or follow")
    add("-G", "--setgid", type=_or_follow(parsed(group)), metavar="GID", help="the program's group id, or follow")
    add("--preserve-credentials", action="store_true", help="keep the user and group ids")
    add("-r", "--root", nargs="?", const="", metavar="DIR", help="the target's root directory, or DIR")
    directory = parser.add_mutually_exclusive_group()
    directory.add_argument("-w", "--wd", nargs="?", const="", metavar="DIR", help="its working directory, or DIR")
    directory.add_argument("-W", "--wdns", metavar="DIR", help="DIR, as it is called in the namespaces")
    add("-e", "--env", action="store_true", help="its environment variables")
    add(
        "-F",
        "--no-fork",
        action="store_true",
        help="with --pid: do not fork; the program stays in the current PID namespace",
    )
