"""The options of `kthreads unshare`: those of unshare(1) of util-linux 2.41."""

from __future__ import annotations

import argparse
import os
import re
import signal
from typing import Any

from kthreads import __version__
from kthreads.cli.id_ranges import id_ranges
from kthreads.cli.kernel_mounts import BINFMT
from kthreads.cli.namespace_options import NAMESPACE_OPTIONS
from kthreads.cli.parser import Parser
from kthreads.cli.values import group, number, signal_number, user
from kthreads.flags.clone_flags import KINDS, CloneFlags
from kthreads.processes import mount_flags
from kthreads.processes.idmap import HIGHEST, check_id

__all__ = ["PROPAGATION", "add_options"]

PROPAGATION = {
    "private": mount_flags.MS_REC | mount_flags.MS_PRIVATE,
    "slave": mount_flags.MS_REC | mount_flags.MS_SLAVE,
    "shared": mount_flags.MS_REC | mount_flags.MS_SHARED,
    "unchanged": 0,
}
"""The flags of mount(2) for each."""

_DEFAULTS: dict[str, Any] = {
    "flags": CloneFlags(0),
    "files": {},
    "kill_child": 0,
    "map_user": None,
    "map_group": None,
    "map_users": (),
    "map_groups": (),
    "owner": None,
    "mount_proc": None,
    "mount_binfmt": None,
    "kept_variables": None,
}


class _Isolate(argparse.Action):
    """An option that adds a flag, and may name a file that is to keep the namespace."""

    def __call__(self, parser: Any, options: argparse.Namespace, value: Any, option: str | None = None) -> None:
        options.flags |= KINDS[self.dest]
        if value is not None:
            options.files = {**options.files, self.dest: value}


class _Imply(argparse.Action):
    """An option with a value of its own that implies a namespace: `const` is its flag and the value when none is given."""

    def __call__(self, parser: Any, options: argparse.Namespace, value: Any, option: str | None = None) -> None:
        flag, default = self.const
        options.flags |= flag
        setattr(options, self.dest, default if value is self.const else value)


class _MapBoth(argparse.Action):
    """An option that maps the caller's own user and group: to those that `const` gives."""

    def __call__(self, parser: Any, options: argparse.Namespace, value: Any, option: str | None = None) -> None:
        options.flags |= CloneFlags.NEWUSER
        options.map_user, options.map_group = self.const()


class _MapRanges(argparse.Action):
    """An option that maps ranges of users or groups, after those of options before it."""

    def __call__(self, parser: Any, options: argparse.Namespace, value: Any, option: str | None = None) -> None:
        options.flags |= CloneFlags.NEWUSER
        setattr(options, self.dest, (*getattr(options, self.dest), *value))


class _MapGranted(argparse.Action):
    """An option that maps the ranges of users and groups that are granted to the caller; `const` is the word for them."""

    def __call__(self, parser: Any, options: argparse.Namespace, value: Any, option: str | None = None) -> None:
        options.flags |= CloneFlags.NEWUSER
        try:
            users, groups = id_ranges("uid")(self.const), id_ranges("gid")(self.const)
        except argparse.ArgumentTypeError as error:
            parser.error(f"{option}: {error}")
        options.map_users = (*options.map_users, *users)
        options.map_groups = (*options.map_groups, *groups)


class _ForChild(argparse.Action):
    """An option about the child that runs the program, which implies --fork."""

    def __call__(self, parser: Any, options: argparse.Namespace, value: Any, option: str | None = None) -> None:
        options.fork = True
        setattr(options, self.dest, value or self.const)


class _Formats(argparse.Action):
    """An option about formats of programs, which implies that their file system is mounted: by default in a new /proc."""

    def __call__(self, parser: Any, options: argparse.Namespace, value: Any, option: str | None = None) -> None:
        options.flags |= CloneFlags.NEWNS | CloneFlags.NEWUSER
        if value is not None:
            setattr(options, self.dest, value)
        if options.mount_binfmt is None:
            options.mount_binfmt = BINFMT
            options.mount_proc = "/proc" if options.mount_proc is None else options.mount_proc


class _KeepVariables(argparse.Action):
    """An option that clears the environment but for some variables, and for those of options before it."""

    def __call__(self, parser: Any, options: argparse.Namespace, value: Any, option: str | None = None) -> None:
        setattr(options, self.dest, (*(getattr(options, self.dest) or ()), *value))


def _owner(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,10}):([0-9]{1,10})", text, re.ASCII)
    try:
        if found:
            return check_id(int(found[1])), check_id(int(found[2]))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    raise argparse.ArgumentTypeError(f"failed to parse owner {text!r}, which is to be UID:GID")


def _own_ids() -> tuple[int, int]:
    return os.geteuid(), os.getegid()


def _root_ids() -> tuple[int, int]:
    return 0, 0


def add_options(parser: Parser) -> None:
    """Adds them, with the values that hold where they are not given."""
    parser.set_defaults(**_DEFAULTS)
    for kind, option in NAMESPACE_OPTIONS.items():
        parser.add_argument(
            option.letter,
            option.name,
            dest=kind,
            nargs="?",
            metavar="FILE",
            action=_Isolate,
            help=f"{option.what}; FILE keeps it",
        )
    _add_options_of_child(parser)
    _add_maps(parser)
    _add_options_of_program(parser)
    parser.add_argument("-V", "--version", action="version", version=f"{parser.prog} {__version__}")


def _add_options_of_child(parser: Parser) -> None:
    add = parser.add_argument
    add("-f", "--fork", action="store_true", help="run the program as a child")
    add(
        "--kill-child",
        nargs="?",
        type=signal_number,
        metavar="SIGNAL",
        const=signal.SIGKILL,
        action=_ForChild,
        help="send the child SIGNAL (KILL) when this command ends",
    )
    add(
        "--forward-signals",
        nargs=0,
        default=False,
        const=True,
        action=_ForChild,
        help="pass SIGTERM and SIGINT on to the child",
    )


def _add_maps(parser: Parser) -> None:
    add = parser.add_argument
    add(
        "-r",
        "--map-root-user",
        nargs=0,
        const=_root_ids,
        action=_MapBoth,
        help="be root in a new user namespace",
    )
    add(
        "-c",
        "--map-current-user",
        nargs=0,
        const=_own_ids,
        action=_MapBoth,
        help="keep the user and group ids in a new user namespace",
    )
    for option, convert in (("--map-user", user), ("--map-group", group)):
        const = (CloneFlags.NEWUSER, None)
        what = "have the id ID in a new user namespace"
        add(option, type=convert, metavar="ID", const=const, action=_Imply, help=what)
    for option, parse in (("--map-users", id_ranges("uid")), ("--map-groups", id_ranges("gid"))):
        what = "map a range of ids; or auto, subids, all; can be repeated"
        add(option, type=parse, metavar="INSIDE:OUTSIDE:COUNT", action=_MapRanges, help=what)
    what = "map the ids that /etc/subuid and /etc/subgid grant the caller, "
    add("--map-auto", nargs=0, const="auto", action=_MapGranted, help=what + "from 0 on")
    add("--map-subids", nargs=0, const="subids", action=_MapGranted, help=what + "to themselves")
    owner = (CloneFlags.NEWUSER, None)
    what = "the user and group that the user namespace belongs to"
    add("--owner", type=_owner, metavar="UID:GID", const=owner, action=_Imply, help=what)
    add("--setgroups", choices=("allow", "deny"), help="whether setgroups(2) is allowed in the user namespace")


def _add_options_of_program(parser: Parser) -> None:
    add = parser.add_argument
    proc = (CloneFlags.NEWNS, "/proc")
    add("--mount-proc", nargs="?", metavar="DIR", const=proc, action=_Imply, help="mount proc, at /proc or DIR")
    what = "mount binfmt_misc, in a new /proc or at DIR"
    add("--mount-binfmt", nargs="?", metavar="DIR", action=_Formats, help=what)
    what = "a format of programs, as binfmt_misc takes it, for this namespace"
    add("-l", "--load-interp", metavar="FORMAT", action=_Formats, help=what)
    add("--propagation", choices=tuple(PROPAGATION), default="private", help="of mounts (private)")
    add("-R", "--root", metavar="DIR", help="the program's root directory")
    add("-w", "--wd", metavar="DIR", help="the program's working directory")
    add("-S", "--setuid", type=number("uid", 0, HIGHEST), metavar="UID", help="the program's user id")
    add("-G", "--setgid", type=number("gid", 0, HIGHEST), metavar="GID", help="the program's group id")
    add("--keep-caps", action="store_true", help="keep the capabilities that the user namespace gives")
    seconds = number("offset", -(2**63), 2**63 - 1)
    add("--monotonic", type=seconds, metavar="SECONDS", help="offset of the monotonic clock")
    add("--boottime", type=seconds, metavar="SECONDS", help="offset of the boot-time clock")
    kept = "kept_variables"
    add("--clear-env", nargs=0, dest=kept, action=_KeepVariables, help="give the program no environment variables")
    what = "give it these alone"
    add("--whitelist-env", type=_names, metavar="NAME,…", dest=kept, action=_KeepVariables, help=what)


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]
