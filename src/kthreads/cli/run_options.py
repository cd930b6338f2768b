"""The options of `kthreads run`, with the names of docker and bubblewrap where those have them."""

from __future__ import annotations

import argparse
import os

from kthreads.cli.accounts import user_and_group
from kthreads.cli.announcements import add_announcement_options
from kthreads.cli.environment import add_environment_options
from kthreads.cli.kept_capabilities import add_capability_options
from kthreads.cli.mount_options import add_mount_options
from kthreads.cli.parser import Parser
from kthreads.cli.values import cpu_count, cpu_list, descriptor, number, size
from kthreads.processes.resource_limits import resource_limits

__all__ = ["add_options"]

_MOST_PIDS = 1 << 22  # PID_MAX_LIMIT
_HIGHEST_LIMIT = 2**64 - 2  # RLIM_INFINITY is the next


def _filter(text: str) -> bytes | str | None:
    if text in ("default", "none"):
        return text if text == "default" else None
    try:
        with open(os.dup(descriptor(text)), "rb") as file:
            return file.read()
    except (OSError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(f"not default, none or an open descriptor: {text!r}") from None


def _limit(text: str) -> tuple[str, tuple[int, int]]:
    name, equals, values = text.partition("=")
    soft, colon, hard = values.partition(":")
    if not equals:
        raise argparse.ArgumentTypeError(f"not NAME=SOFT or NAME=SOFT:HARD, such as nofile=1024:2048: {text!r}")
    pair = _limit_value(soft), _limit_value(hard if colon else soft)
    try:
        resource_limits({name: pair})
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return name, pair


def _limit_value(text: str) -> int:
    return -1 if text in ("-1", "unlimited") else number("limit", 0, _HIGHEST_LIMIT)(text)


def _setting(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"not NAME=VALUE, such as net.ipv4.ip_forward=1: {text!r}")
    return name, value


def add_options(parser: Parser) -> None:
    """Adds all of them."""
    _add_root(parser)
    add_mount_options(parser)
    add_environment_options(parser)
    _add_program(parser)
    _add_limits(parser)
    _add_isolation(parser)
    add_announcement_options(parser)


def _add_root(parser: Parser) -> None:
    add = parser.add_argument
    add("--root", metavar="DIR", help="the folder that becomes /; with a /proc and a minimal /dev")
    add("--read-only", action="store_true", help="only binds, tmpfs and a new /tmp can be written to")
    add("--overlay", action="store_true", help="keep what is written to the root in memory until the end")
    add("--add-sys", action="store_true", help="a /sys, which is read-only")
    add("--rm", action="store_true", help="leave no container behind, which is so in any case")


def _add_program(parser: Parser) -> None:
    group = parser.add_argument_group("program")
    add = group.add_argument
    add("-t", "--tty", action="store_true", help="give the program a terminal of its own")
    add("-i", "--interactive", action="store_true", help="pass the standard input on, which is done in any case")
    add("-w", "--workdir", "--chdir", metavar="DIR", help="the program's working directory")
    add(
        "-u",
        "--user",
        type=user_and_group,
        metavar="USER[:GROUP]",
        help="the user and group of the program: names in the /etc of --root, or numbers",
    )
    add_capability_options(group)
    add("--no-init", action="store_true", help="run the program as process 1, without an init that reaps")
    add("--new-session", action="store_true", help="a session of the program's own, which it has in any case")


def _add_limits(parser: Parser) -> None:
    add = parser.add_argument_group("limits").add_argument
    add("-m", "--memory", type=size, metavar="SIZE", help="at most this much memory, such as 64M")
    add("--cpus", type=cpu_count, metavar="N", help="at most N CPUs, such as 1.5")
    add("--cpuset-cpus", type=cpu_list, metavar="LIST", help="begin on these CPUs, such as 0-2,4")
    pids = number("number of processes", 1, _MOST_PIDS)
    add("--pids", "--pids-limit", type=pids, metavar="N", help="at most N processes and threads")
    add(
        "--ulimit",
        type=_limit,
        action="append",
        default=[],
        metavar="NAME=SOFT[:HARD]",
        help="a limit of each process (getrlimit(2)), such as nofile=1024; -1 is none",
    )


def _add_isolation(parser: Parser) -> None:
    add = parser.add_argument_group("isolation").add_argument
    add("--hostname", metavar="NAME", help="the host name in the container")
    add("--domainname", metavar="NAME", help="the NIS domain name in the container")
    add("--net", "--network", choices=("none", "host"), default="none", help="only a loopback (none), or the host's")
    add("--userns", action="store_true", help="create a user namespace also as root")
    add("--map-auto", action="store_true", help="create one with the users that /etc/subuid grants to the caller")
    add(
        "--sysctl",
        type=_setting,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of the kernel that belongs to the container's namespaces",
    )
    add("--writable-kernel-files", action="store_true", help="leave /proc/sys, /sys and cgroups writable")
    add(
        "--seccomp",
        type=_filter,
        default="default",
        metavar="FD|default|none",
        help="the filter of system calls: a BPF program that is read from FD, or a short list as Docker's (default)",
    )
    add("--disable-userns", action="store_true", help="let the program make no user namespaces")
