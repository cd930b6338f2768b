"""A terminal for a program in a container: a pseudo-terminal, of which this command copies input and output."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import stat
import termios
import tty
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["Terminal"]

_INPUT, _OUTPUT = 0, 1
_SIZE = bytes(8)  # struct winsize
_PART = 4096  # what poll promises room for in a pipe (PIPE_BUF)
_ENDED = (
    errno.EIO,
    errno.ENXIO,
    errno.EBADF,
)  # the other side of a terminal was closed, or the descriptor from the start
_READABLE = select.POLLIN | select.POLLHUP | select.POLLERR | select.POLLNVAL
_WRITABLE = select.POLLOUT | select.POLLERR | select.POLLNVAL


class Terminal:
    """A pseudo-terminal, as a context manager. The terminal of this command, if it has one, passes all keys on.

    It is served by a loop, which waits until one of `interests` is ready and then calls `serve`. So a full input keeps no
    output from being copied, nor the reverse.

    Attributes:
        is_hung_up: whether the program's terminal has gone, because what it was shown on has.
        has_lost_output: whether that was because nobody reads the output any more.
    """

    def __init__(self) -> None:
        self.is_hung_up = self.has_lost_output = False
        self._keys, self._program = os.openpty()
        self._screen = _nonblocking(_OUTPUT)
        os.set_blocking(self._keys, False)
        self._input, self._output = _Flow(_INPUT, self._keys), _Flow(self._keys, self._screen)
        self._has_terminal = os.isatty(_INPUT)
        self._saved: Any = None

    @property
    def settings(self) -> dict[str, Any]:
        """Parameters of `Process`."""
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), self._program)
        return {"controlling_terminal": True} | streams

    @property
    def path(self) -> str:
        """The device that the program has as its terminal."""
        return os.ttyname(self._program)

    def give_to(self, uid: int) -> None:
        """Lets a user open the program's terminal by its name."""
        os.fchown(self._program, uid, -1)

    def __enter__(self) -> Terminal:
        self.resize()
        return self

    def __exit__(self, *_: object) -> None:
        self.give_back()
        self.close_program_s()
        self.hang_up()
        os.close(self._screen)

    def take_over(self) -> None:
        """Has all keys of this command's terminal passed on as they are, and gives the program's terminal its size."""
        self.resize()
        if self._has_terminal:
            with contextlib.suppress(termios.error):  # it has gone
                self._saved = self._saved or termios.tcgetattr(_INPUT)
                tty.setraw(_INPUT, termios.TCSADRAIN)

    def give_back(self) -> None:
        """Makes this command's terminal what it was before."""
        if self._saved is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(_INPUT, termios.TCSADRAIN, self._saved)
            self._saved = None

    def resize(self) -> None:
        """Gives the program's terminal the size of this command's."""
        for fd in (_INPUT, _OUTPUT):
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._keys, termios.TIOCSWINSZ, fcntl.ioctl(fd, termios.TIOCGWINSZ, _SIZE))
                return

    def close_program_s(self) -> None:
        """Closes our copy of the program's side, so that the program's end closes the last."""
        if self._program >= 0:
            os.close(self._program)
            self._program = -1

    def hang_up(self) -> None:
        """Takes the program's terminal away: its processes get SIGHUP."""
        if not self.is_hung_up:
            self.is_hung_up = True
            os.close(self._keys)

    @property
    def interests(self) -> Iterator[tuple[int, int]]:
        """Descriptors, and for what they are to be watched."""
        if not self.is_hung_up:
            yield from self._input.interest
            yield from self._output.interest

    @property
    def has_output(self) -> bool:
        """Whether the program has written something that was not copied yet."""
        return not self.is_hung_up and (self._output.is_waiting or _is_readable(self._keys))

    def serve(self, ready: Mapping[int, int]) -> None:
        """Copies what can be copied, given what `poll` has found of each descriptor."""
        if not self.is_hung_up:
            self._copy_input(ready)
            self._copy_output(ready)

    def _copy_input(self, ready: Mapping[int, int]) -> None:
        ended_line = self._input.ended_line
        try:
            self._input.copy(ready)
        except OSError as error:
            if error.errno not in _ENDED:
                raise
            self._input.stop()  # the program has ended
        if self._input.at_end:
            if self._has_terminal:
                self.hang_up()
            else:
                self._input.append(self._end_of_input(ended_line))

    def _copy_output(self, ready: Mapping[int, int]) -> None:
        if self.is_hung_up:
            return
        try:
            self._output.copy(ready)
        except OSError as error:
            if error.errno not in (errno.EPIPE, errno.EIO):
                raise
            self.has_lost_output = True
            self.hang_up()

    def _end_of_input(self, ended_line: bool) -> bytes:
        """The keys that end the input. Within a line, the first of two ends the line alone (termios(3), VEOF)."""
        key: bytes = termios.tcgetattr(self._keys)[6][termios.VEOF]
        return key if ended_line else key * 2


class _Flow:
    """Bytes on their way from one descriptor to another, a part at a time. It waits for one of the two at any time."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._waiting = b""
        self.has_ended = self.at_end = False
        self.ended_line = True

    @property
    def interest(self) -> Iterator[tuple[int, int]]:
        if self._waiting:
            yield self._sink, select.POLLOUT
        elif not self.has_ended:
            yield self._source, select.POLLIN

    @property
    def is_waiting(self) -> bool:
        """Whether it has bytes that were not written yet."""
        return bool(self._waiting)

    def copy(self, ready: Mapping[int, int]) -> None:
        """Reads or writes one part. `at_end` is true after the call that found the end of the source."""
        self.at_end = False
        if self._waiting:
            if ready.get(self._sink, 0) & _WRITABLE:
                self._write()
        elif not self.has_ended and ready.get(self._source, 0) & _READABLE:
            self._waiting = _read(self._source)
            self.has_ended = self.at_end = not self._waiting

    def _write(self) -> None:
        with contextlib.suppress(BlockingIOError):
            written = os.write(self._sink, self._waiting[:_PART])
            self.ended_line = self._waiting[:written].endswith(b"\n")
            self._waiting = self._waiting[written:]

    def append(self, data: bytes) -> None:
        """Sends these bytes after the others."""
        self._waiting += data

    def stop(self) -> None:
        """Copies no more."""
        self._waiting, self.has_ended = b"", True


def _is_readable(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return any(events & select.POLLIN for _, events in poll.poll(0))


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, _PART)
    except OSError as error:
        if error.errno in _ENDED:
            return b""
        raise


def _nonblocking(fd: int) -> int:
    """A descriptor for the same file, of which a write does not wait, if that can be had: the descriptor itself is shared
    with other programs, which expect theirs to wait."""
    with contextlib.suppress(OSError):
        mode = os.fstat(fd).st_mode
        if stat.S_ISFIFO(mode) or os.isatty(fd):
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
