"""Measures starts of processes beside their peers and writes docs/_processes.md: `python benchmarks/processes.py [--rounds N]`.

Needs kthreads; bwrap and unshare are compared with where they are installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from markdown_table import table
from pairs import measure, ratio

import kthreads
from kthreads import CloneFlags, Process
from kthreads.bench.measure.environment import now, sentence
from kthreads.flags import NAMESPACES

PAGE = Path(__file__).parents[1] / "docs" / "_processes.md"
PROGRAM = ["/bin/true"]
SIX = NAMESPACES & ~(CloneFlags.NEWCGROUP | CloneFlags.NEWTIME)
Operations = dict[str, Callable[[], object]]


def posix_spawn() -> None:
    """The least that can be expected: what libc does, called with as little Python as possible."""
    os.waitpid(os.posix_spawn(PROGRAM[0], PROGRAM, os.environ), 0)


def plain() -> Operations:
    return {
        "`subprocess.Popen`": lambda: subprocess.Popen(PROGRAM).wait(),
        "`kthreads.Process`": lambda: Process(PROGRAM).wait(),
        "`os.posix_spawn` and `waitpid`": posix_spawn,
    }


def isolated() -> Operations:
    tools = {
        "`bwrap --unshare-all --ro-bind / / --proc /proc`": [
            "bwrap",
            "--unshare-all",
            "--ro-bind",
            "/",
            "/",
            "--proc",
            "/proc",
        ],
        "`unshare -Urmuipn --fork --mount-proc`": ["unshare", "-Urmuipn", "--fork", "--mount-proc"],
        "`unshare -Urmuipn --fork`": ["unshare", "-Urmuipn", "--fork"],
    }
    found: Operations = {
        name: lambda command=command: subprocess.Popen([*command, *PROGRAM]).wait()
        for name, command in tools.items()
        if shutil.which(command[0])
    }
    return found | {
        "`kthreads.Process`, six namespaces, `/proc` and loopback": lambda: Process(
            PROGRAM, namespaces=SIX, uid_map="root", gid_map="root"
        ).wait()
    }


def commands() -> Operations:
    """Commands that a shell starts: the time of an interpreter counts, too."""
    tools = {
        "`bwrap --unshare-all --bind / /`": ["bwrap", "--unshare-all", "--bind", "/", "/"],
        "`python -c pass`": [sys.executable, "-c", "pass", "--"],
        "`kthreads run`": [os.path.join(os.path.dirname(sys.executable), "kthreads"), "run", "--"],
    }
    return {
        name: lambda command=command: subprocess.Popen([*command, *PROGRAM]).wait()
        for name, command in tools.items()
        if shutil.which(command[0])
    }


Row = tuple[str, str, str]


def rows(operations: Operations, rounds: int, peer_of: Callable[[dict[str, list[float]]], str]) -> list[Row]:
    times = measure(operations, rounds=rounds, batch=1)
    peer = peer_of(times)
    return [
        (name, f"{statistics.median(times[name]) * 1e6:.0f} µs", f"{ratio(times, name, peer):.2f} of {peer}")
        for name in operations
    ]


def fastest_tool(times: dict[str, list[float]]) -> str:
    tools = [name for name in times if "kthreads" not in name]
    return min(tools or times, key=lambda name: statistics.median(times[name]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    rounds = parser.parse_args().rounds
    body = [
        *rows(plain(), rounds, lambda _: "`subprocess.Popen`"),
        *rows(isolated(), rounds // 2, fastest_tool),
        *rows(commands(), rounds // 4, lambda _: "`python -c pass`"),
    ]
    header = ("start of `/bin/true` to its end", "measured", "ratio")
    lines = [f"{sentence(now())}, kthreads {kthreads.__version__}.", "", *table(header, body)]
    PAGE.write_text("\n".join(lines) + "\n")
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
