"""`kthreads nsenter`: a program in the namespaces of another process, with the options of nsenter(1)."""

from __future__ import annotations

import argparse
import os
import signal
from collections.abc import Callable
from typing import NoReturn

from kthreads import __version__
from kthreads.cli import execute, system
from kthreads.cli.entering import FOLLOW, OF_TARGET, Plan
from kthreads.cli.message import complain
from kthreads.cli.namespace_options import NAMESPACE_OPTIONS
from kthreads.cli.parser import Parser
from kthreads.cli.values import number
from kthreads.errors import KThreadsError
from kthreads.processes.idmap import HIGHEST

NAME = "kthreads nsenter"
_FAILURE = 1
_HIGHEST_INT = 2**31 - 1


def _move(plan: Plan, wdns: str | None) -> None:
    """Root and working directory."""
    if plan.root is not None:
        old = os.open(".", os.O_RDONLY | os.O_CLOEXEC)
        os.fchdir(plan.root)
        os.chroot(".")
        os.chdir("/")
        if plan.wd is None and wdns is None and _is_in_root(old):
            os.fchdir(old)
    if wdns is not None:
        (system.enter_in_root if plan.root is not None or "mnt" in plan.entered else os.chdir)(wdns)
    if plan.wd is not None:
        os.fchdir(plan.wd)


def _is_in_root(folder: int) -> bool:
    """Whether a folder lies under the root of this process. It has been changed to for a moment."""
    os.fchdir(folder)
    try:
        return os.path.isabs(os.getcwd())
    except FileNotFoundError:
        return False
    finally:
        os.chdir("/")


def _drop_groups() -> bool:
    """Leaves the supplementary groups. Returns whether that was allowed."""
    try:
        os.setgroups([])
    except PermissionError:
        return False
    return True


def _become(options: argparse.Namespace, plan: Plan, could_drop_groups: bool) -> None:
    """User and group: in a user namespace its root, unless something else was asked for. The groups are left in it only
    where it lets them be; `could_drop_groups` says whether they were before."""
    uid, gid = options.setuid, options.setgid
    if plan.owner is not None:
        uid = plan.owner.st_uid if uid == FOLLOW else uid
        gid = plan.owner.st_gid if gid == FOLLOW else gid
    if "user" in plan.entered and not options.preserve_credentials:
        uid, gid = uid or 0, gid or 0
    if gid is not None:
        if not _drop_groups() and not could_drop_groups:
            raise PermissionError("the supplementary groups cannot be dropped")
        os.setgid(gid)
    if uid is not None:
        os.setuid(uid)
    if options.keep_caps and "user" in plan.entered:
        system.keep_capabilities()


def _future_user(options: argparse.Namespace, plan: Plan) -> int:
    """The user that the program will have, as its passwd entry is looked up before anything is entered."""
    if options.setuid is not None:
        return plan.owner.st_uid if options.setuid == FOLLOW and plan.owner is not None else int(options.setuid)
    return 0 if plan.has_users and not options.preserve_credentials else os.geteuid()


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
        plan = Plan(options)
        program = execute.Program.of(options.program, _future_user(options, plan), plan.environment)
        could_drop_groups = not (plan.has_users and not options.preserve_credentials) or _drop_groups()
        # A process in the namespaces must not reach this program by /proc/PID/exe and write to it (CVE-2019-5736).
        system.set_not_dumpable()
        plan.enter()
        _move(plan, options.wdns)
        if "pid" in plan.entered and not options.no_fork:
            _continue_as_child()
        _become(options, plan, could_drop_groups)
    except (KThreadsError, OSError, ValueError) as error:
        complain(NAME, error)
        os._exit(_FAILURE)
    execute.execute_in_root(NAME, program)


def _or_follow(convert: Callable[[str], int]) -> Callable[[str], int]:
    return lambda text: FOLLOW if text == "follow" else convert(text)


def add_arguments(parser: Parser) -> None:
    """Adds the description and the options of `nsenter`."""
    parser.description = (
        "Runs a program in the namespaces of another process, with the options and exit statuses of nsenter(1)."
    )
    parser.run_program(short_values=True, failure=_FAILURE)
    parser.set_defaults(run=_run)
    _add_what_to_enter(parser)
    _add_what_to_become(parser)
    parser.add_argument("-V", "--version", action="version", version=f"{NAME} {__version__}")


def _add_what_to_enter(parser: Parser) -> None:
    add = parser.add_argument
    what = "the process or thread whose namespaces are entered"
    add("-t", "--target", type=number("pid", 0, _HIGHEST_INT), metavar="PID", help=what)
    add("-a", "--all", action="store_true", help="all of its namespaces")
    for kind, (letter, name, _) in NAMESPACE_OPTIONS.items():
        what = f"its {kind} namespace, or that of FILE"
        add(letter, name, dest=kind, nargs="?", const=OF_TARGET, metavar="FILE", help=what)
    what = "the network namespace of the target's socket FD"
    add("-N", "--net-socket", type=number("descriptor", 0, _HIGHEST_INT), metavar="FD", help=what)
    add("--user-parent", action="store_true", help="the parent of its user namespace")
    add("-c", "--join-cgroup", action="store_true", help="its cgroup")
    add("-r", "--root", nargs="?", const=OF_TARGET, metavar="DIR", help="the target's root directory, or DIR")
    directory = parser.add_mutually_exclusive_group()
    what = "its working directory, or DIR"
    directory.add_argument("-w", "--wd", nargs="?", const=OF_TARGET, metavar="DIR", help=what)
    directory.add_argument("-W", "--wdns", metavar="DIR", help="DIR, as it is called in the namespaces")


def _add_what_to_become(parser: Parser) -> None:
    add = parser.add_argument
    for letter, name, what in (("-S", "uid", "user"), ("-G", "gid", "group")):
        convert = _or_follow(number(name, 0, HIGHEST))
        add(letter, f"--set{name}", type=convert, metavar=name.upper(), help=f"the program's {what} id, or follow")
    add("--preserve-credentials", action="store_true", help="keep the user and group ids")
    add("--keep-caps", action="store_true", help="keep the capabilities that the user namespace gives")
    add("-e", "--env", action="store_true", help="the target's environment variables")
    what = "with --pid: do not fork; the program stays in the current PID namespace"
    add("-F", "--no-fork", action="store_true", help=what)
