"""The standard descriptors of a child, and the descriptors that it keeps."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable

from kthreads.descriptors import Descriptors
from kthreads.processes.child_steps import Steps

__all__ = ["StandardDescriptors"]


class StandardDescriptors(Descriptors):
    """The descriptors of the child's standard streams, moved where no step overwrites one before it is used.

    Args:
        standard: the descriptors that become 0, 1 and 2; -1 for one that stays as it is.
        ours: the parent's ends of the pipes.
        passed: pass_fds of subprocess.Popen.
    """

    def __init__(self, standard: tuple[int, int, int], ours: tuple[int, int, int], passed: tuple[int, ...]) -> None:
        super().__init__()
        self._standard, self._ours, self._passed = standard, ours, passed

    def _above_standard(self, fd: int, number: int) -> int:
        return fd if fd > 2 or fd == number else self.open(fcntl.fcntl, fd, fcntl.F_DUPFD_CLOEXEC, 3)

    def add_early_close(self, steps: Steps, others: Iterable[int]) -> None:
        """Closes what the child does not need, before it looks at files that an enemy may have made.

        Args:
            steps: to add to.
            others: descriptors that later steps use.
        """
        self._close_all_but(steps, {*self._standard, *self._passed, *others})

    def add_steps(self, steps: Steps, close_fds: bool, *, at_exec: bool) -> None:
        sources = [(self._above_standard(fd, number), number) for number, fd in enumerate(self._standard) if fd >= 0]
        if not at_exec:
            self._close_what_exec_closes(steps, {number for _, number in sources})
        for fd, number in sources:
            steps.dup(fd, number)
        if close_fds and at_exec:
            steps.close(3, at_exec=True)
            for fd in self._passed:
                steps.dup(fd, fd)
        elif close_fds:
            self._close_all_but(steps, set(self._passed))

    def _close_what_exec_closes(self, steps: Steps, replaced: set[int]) -> None:
        """In a child that runs a function: closes the parent's ends of the pipes, which would keep the child from seeing their
        end of file, and a descriptor that has a standard number by chance, as the parent runs without that stream."""
        by_chance = {fd for fd in range(3) if _closes_at_exec(fd)}
        for fd in (by_chance | set(self._ours)) - replaced - set(self._passed) - {-1}:
            steps.close(fd, fd, at_exec=False)

    def _close_all_but(self, steps: Steps, kept: set[int]) -> None:
        """Closes all descriptors but the standard ones and these."""
        first = 3
        for fd in sorted(fd for fd in kept if fd > 2):
            if fd > first:
                steps.close(first, fd - 1, at_exec=False)
            first = fd + 1
        steps.close(first, at_exec=False)


def _closes_at_exec(fd: int) -> bool:
    try:
        return not os.get_inheritable(fd)
    except OSError:  # not open
        return False
