"""The ways to make a program's threads, and the programs of the tests."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from kthreads.programs.preload import Threads

PROGRAMS = Path(__file__).parent / "programs"

WAYS = {
    "libc": None,
    "pthread": Threads("pthread"),
    "clone": Threads("clone"),
    "clone3": Threads("clone3"),
    "reuse": Threads("clone", reuse=True),
}
"""How a program's threads are made; "libc" is the program as it is."""


def environment(way: str, statistics: str | None = None) -> dict[str, str]:
    threads = WAYS[way]
    return dict(os.environ) if threads is None else threads.environment(os.environ, statistics)


def compiled(name: str, folder: Path, *options: str) -> str:
    """The path of a program, or with -shared of a library, of `PROGRAMS`."""
    made = folder / Path(name).stem
    subprocess.run(["cc", "-O1", "-pthread", PROGRAMS / name, "-o", made, *options], check=True)
    return str(made)
