"""Forked children of a command that wait for its word: one of them works outside of the namespaces that it makes."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable

from kthreads.cli.message import complain
from kthreads.errors import KThreadsError

__all__ = ["FAILURE", "Gate", "Outside"]

FAILURE = 1


class Gate:
    """Where a forked child waits until its parent opens it. If the parent ends before, so does the child."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()

    def wait(self) -> None:
        """Waits, in the child. Does not return if the gate will not be opened."""
        os.close(self._writer)
        opened = os.read(self._reader, 1)
        os.close(self._reader)
        if not opened:
            os._exit(FAILURE)

    def open(self) -> None:
        """Lets the child go on, in the parent."""
        os.close(self._reader)
        with contextlib.suppress(BrokenPipeError):  # the child has been killed
            os.write(self._writer, b"g")
        os.close(self._writer)

    def forget(self) -> None:
        """Closes it in another child."""
        os.close(self._reader)
        os.close(self._writer)


class Outside:
    """A child that stays in the namespaces that the command came from, and does some work there on request.

    Args:
        name: the command's, for messages.
        work: called with the id of this process; None where there is nothing to do.
    """

    def __init__(self, name: str, work: Callable[[int], None] | None) -> None:
        self._child = 0
        if work is None:
            return
        self._gate, target = Gate(), os.getpid()
        self._child = os.fork()
        if self._child == 0:
            self._gate.wait()
            os._exit(_status_of(name, work, target))

    def __bool__(self) -> bool:
        """Whether there is work to do."""
        return self._child != 0

    def forget(self) -> None:
        """Closes what another child has of this one."""
        if self._child:
            self._gate.forget()
            self._child = 0

    def do(self) -> None:
        """Starts the work and waits for its end. Exits if the work has failed."""
        if not self._child:
            return
        self._gate.open()
        child, self._child = self._child, 0
        if os.waitpid(child, 0)[1] != 0:
            sys.exit(FAILURE)


def _status_of(name: str, work: Callable[[int], None], target: int) -> int:
    try:
        work(target)
    except (KThreadsError, OSError, ValueError) as error:
        complain(name, error)
        return FAILURE
    return 0
