"""Runs of `kthreads` by an ordinary user."""

from __future__ import annotations

import sys

_PROGRAM = """
import importlib, os, pkgutil, sys
import kthreads.cli, kthreads.namespaces, kthreads.processes
for package in (kthreads.cli, kthreads.namespaces, kthreads.processes):  # of which the user may not read the files
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
from kthreads.cli import main, system
uid = int(sys.argv.pop(1))
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
system._prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE, which a change of ids clears
sys.exit(main.main())
"""


def kthreads_as(uid: int) -> list[str]:
    """The words of the command `kthreads` for a user, which root calls."""
    return [sys.executable, "-c", _PROGRAM, str(uid)]
