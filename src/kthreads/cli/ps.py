"""`kthreads ps`: the tree of namespaces, and the processes in them."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Container, Iterable

from rich.text import Text
from rich.tree import Tree

from kthreads.cli.console import Console
from kthreads.cli.message import complain, visible
from kthreads.cli.parser import Parser
from kthreads.flags.clone_flags import KINDS
from kthreads.namespaces.listing import Member, Namespace, list_namespaces

NAME = "kthreads ps"


def _command_of(member: Member) -> str:
    """The command line of a process, or the name of a thread that is not its first."""
    with contextlib.suppress(OSError):
        if member.tid == member.pid:
            with open(f"/proc/{member.pid}/cmdline", "rb") as file:
                words = [os.fsdecode(word) for word in file.read().split(b"\0") if word]
            if words:
                return " ".join(words)
        with open(f"/proc/{member.pid}/task/{member.tid}/comm") as file:
            return f"[{file.read().rstrip()}]"
    return ""


def _members(namespace: Namespace, everyone: dict[int, set[int]], threads: bool) -> Iterable[Member]:
    """The members to show: one line for a process with all its threads in the namespace, else a line for each thread in it."""
    inside: dict[int, list[Member]] = {}
    for member in namespace.members:
        inside.setdefault(member.pid, []).append(member)
    for pid, members in inside.items():
        if threads or {member.tid for member in members} != everyone[pid]:
            yield from members
        else:
            yield Member(pid, pid)


def _line(namespace: Namespace, count: int) -> Text:
    text = Text(str(namespace), "bold")
    if namespace.uid is not None:
        text.append(f" made by user {namespace.uid}", "default")
    processes = f"{count} process{'es' if count != 1 else ''}" if count else "no processes"
    return text.append(f"  {processes}", "dim")


def tree(
    found: Iterable[Namespace],
    *,
    kinds: Iterable[str] = KINDS,
    members: int = 8,
    threads: bool = False,
    counted: Container[tuple[str, int]] = (),
) -> Tree:
    """The namespaces below the user namespaces that own them, and PID and user namespaces below their parents.

    Args:
        found: what `namespaces` returned.
        kinds: those to show; user namespaces always are.
        members: how many processes to show of each, at most.
        threads: whether each thread is shown.
        counted: kind and inode of those whose processes are not shown.
    """
    every = list(found)
    shown = {(each.kind, each.inode): each for each in every if each.kind == "user" or each.kind in kinds}
    everyone: dict[int, set[int]] = {}
    for each in every:
        for member in each.members:
            everyone.setdefault(member.pid, set()).add(member.tid)
    root = Tree("namespaces", hide_root=True)
    branches: dict[tuple[str, int], Tree] = {}

    def branch(key: tuple[str, int]) -> Tree:
        if key not in branches:
            namespace = shown[key]
            above = _above(namespace, shown)
            branches[key] = (branch(above) if above is not None else root).add(_line(namespace, len(namespace.pids)))
            rows = [] if key in counted else list(_members(namespace, everyone, threads))
            for member in rows[:members]:
                branches[key].add(
                    Text(f"{member.tid} {visible(_command_of(member))}", no_wrap=True, overflow="ellipsis")
                )
            if len(rows) > members:
                branches[key].add(Text(f"… and {len(rows) - members} more", "dim"))
        return branches[key]

    for key in shown:
        branch(key)
    return root


def _above(namespace: Namespace, shown: dict[tuple[str, int], Namespace]) -> tuple[str, int] | None:
    """The namespace above it in the tree: its parent if that has the same owner, else its owner."""
    parent = shown.get((namespace.kind, namespace.parent or 0))
    if parent is not None and (namespace.kind == "user" or parent.owner == namespace.owner):
        return parent.kind, parent.inode
    return ("user", namespace.owner) if namespace.owner and ("user", namespace.owner) in shown else None


def _own(found: Iterable[Namespace]) -> set[tuple[str, int]]:
    """The namespaces of this process, which most other processes share."""
    return {(each.kind, each.inode) for each in found if os.getpid() in each.pids}


def _run(options: argparse.Namespace) -> int:
    try:
        found = list_namespaces(options.pid)
    except OSError as error:
        complain(NAME, error.strerror)
        return 1
    kinds = options.kind or tuple(KINDS)
    members = sys.maxsize if options.all else 8
    counted = set() if options.all or options.pid is not None else _own(found)
    shown = tree(found, kinds=kinds, members=members, threads=options.threads, counted=counted)
    Console().print(shown, highlight=False)
    return 0


def add_arguments(parser: Parser) -> None:
    """Adds the description and the options of `ps`."""
    parser.description = (
        "Shows the namespaces of all processes below the user namespaces that own them, with their members: "
        "a process if all its threads are in the namespace, else the threads that are. Namespaces of processes that the "
        "caller may not inspect are omitted."
    )
    parser.add_argument("pid", nargs="?", type=int, metavar="PID", help="show only the namespaces of this process")
    parser.add_argument(
        "-k", "--kind", action="append", choices=tuple(KINDS), help="show only this kind, and user namespaces"
    )
    parser.add_argument("-T", "--threads", action="store_true", help="show each thread")
    parser.add_argument(
        "-a",
        "--all",
        action="store_true",
        help="show all processes, also in the namespaces of this command",
    )
    parser.set_defaults(run=_run)
