"""The library that makes a program's threads by the engine, and the environment that brings it in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from kthreads import _native
from kthreads.programs.program_file import ProgramError

__all__ = ["BACKENDS", "Threads", "library"]

BACKENDS = ("clone", "clone3", "pthread")


def library() -> str:
    """The path of libkthreads-preload.so, which lies beside the extension."""
    return os.path.join(os.path.dirname(os.path.abspath(_native.__file__)), "libkthreads-preload.so")


class Threads(NamedTuple):
    """How the threads of a program are made.

    Attributes:
        backend: one of `BACKENDS`.
        reuse: whether kernel threads are parked at the end of a thread, and started again.
        children: whether the programs that the program executes have theirs made so, too.
    """

    backend: str = "clone"
    reuse: bool = False
    children: bool = True

    def environment(self, base: Mapping[str, str], statistics: str | None = None) -> dict[str, str]:
        """The environment for the program.

        Args:
            base: the variables to begin with.
            statistics: the path of a file of `kthreads.programs.lives`.

        Raises:
            ProgramError: the path of the library cannot be written into LD_PRELOAD.
        """
        path = library()
        if ":" in path or " " in path:
            raise ProgramError(f"LD_PRELOAD cannot name {path}: its separators are colons and spaces")
        variables = dict(base)
        variables["LD_PRELOAD"] = ":".join([path, *filter(None, [base.get("LD_PRELOAD")])])
        variables["KTHREADS_EXEC_BACKEND"] = self.backend
        variables["KTHREADS_EXEC_REUSE"] = str(int(self.reuse))
        variables["KTHREADS_EXEC_CHILDREN"] = str(int(self.children))
        variables.pop("KTHREADS_EXEC_STATISTICS", None)
        if statistics is not None:
            variables["KTHREADS_EXEC_STATISTICS"] = statistics
        return variables
