"""What `kthreads run` does while the container runs: it passes signals on, serves the terminal and waits for the end."""

from __future__ import annotations

import os
import select
import signal
from typing import TYPE_CHECKING

from kthreads import deadline
from kthreads.cli.signals import Signals
from kthreads.processes.process import Process

if TYPE_CHECKING:
    from kthreads.cli.cgroup import Cgroup
    from kthreads.cli.terminal import Terminal

__all__ = ["ATTENDED", "Attendance"]

ATTENDED = tuple(
    int(number)
    for number in (
        signal.SIGHUP,
        signal.SIGINT,
        signal.SIGQUIT,
        signal.SIGTERM,
        signal.SIGUSR1,
        signal.SIGUSR2,
        signal.SIGWINCH,
        signal.SIGTSTP,
        signal.SIGCONT,
    )
)
"""The signals that do not do to this command what they do by default."""

_GRACE = 1.0  # seconds between the hang-up of a terminal whose output nobody reads, and SIGKILL


class Attendance:
    """A container that runs, and what serves it.

    Args:
        process: the container's first process.
        signals: those of `ATTENDED`, from before the process was started.
        terminal: the program's, if it has one.
        cgroup: the container's, if it has one.
    """

    def __init__(self, process: Process, signals: Signals, terminal: Terminal | None, cgroup: Cgroup | None) -> None:
        self._process, self._signals, self._terminal, self._cgroup = process, signals, terminal, cgroup
        self._kill_at: int | None = None
        self._is_asked_to_end = False

    def status(self) -> int:
        """Serves the container until its end; returns what `Process.wait` does."""
        if self._terminal is not None:
            self._terminal.close_program_s()
            self._terminal.take_over()
        try:
            while not self._has_ended():
                self._serve(self._ready())
        except BaseException:
            self._process.kill()
            raise
        return self._process.wait()

    def _has_ended(self) -> bool:
        """Whether the process has, and all that it wrote was copied, or is not waited for any more."""
        if self._process.poll() is None:
            return False
        return self._terminal is None or self._is_asked_to_end or not self._terminal.has_output

    def _ready(self) -> dict[int, int]:
        """Waits for something to do; returns what `poll` has found of each descriptor."""
        watched = {self._signals.fileno(): select.POLLIN}
        if self._process.returncode is None:
            watched[self._process.fileno()] = select.POLLIN
        for fd, events in self._terminal.interests if self._terminal is not None else ():
            watched[fd] = watched.get(fd, 0) | events
        poll = select.poll()
        for fd, events in watched.items():
            poll.register(fd, events)
        return dict(poll.poll(None if self._kill_at is None else deadline.left_ns(self._kill_at) / 1e6))

    def _serve(self, ready: dict[int, int]) -> None:
        if self._signals.fileno() in ready:
            for number in self._signals.take():
                self._handle(number)
        if self._terminal is not None:
            self._terminal.serve(ready)
            if self._terminal.has_lost_output and self._kill_at is None:
                self._kill_at = deadline.after(_GRACE)
        if deadline.has_passed(self._kill_at):
            self._process.kill()
            self._kill_at = None

    def _handle(self, number: int) -> None:
        if number == signal.SIGTSTP:
            self._pause()
        elif number == signal.SIGWINCH and self._terminal is not None:
            self._terminal.resize()
        else:
            if number == signal.SIGCONT:
                self._go_on()
            self._is_asked_to_end = self._process.returncode is not None
            self._process.send_signal(number)

    def _pause(self) -> None:
        """Stops the container, and then this process. Both go on when this process gets SIGCONT."""
        if self._terminal is not None:
            self._terminal.give_back()
        if self._cgroup is not None:
            self._cgroup.freeze()
        else:
            self._process.send_signal(signal.SIGTSTP)  # upon which the init stops all processes
        if not self._signals.has(signal.SIGCONT):  # which has come too early to end the stop
            os.kill(os.getpid(), signal.SIGSTOP)

    def _go_on(self) -> None:
        if self._terminal is not None:
            self._terminal.take_over()
        if self._cgroup is not None:
            self._cgroup.thaw()
