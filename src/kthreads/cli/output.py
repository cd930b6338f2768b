"""The standard streams of a command. A failed write is reported as in other commands, and no file that the command opens
gets the number of a closed standard descriptor."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from types import TracebackType
from typing import Any

__all__ = ["Streams", "WriteError"]


class WriteError(Exception):
    """Writing to the standard output failed. Not an OSError, because commands handle an OSError of other operations."""

    def __init__(self, error: OSError) -> None:
        super().__init__(f"write error: {error.strerror}")
        self.is_told = error.errno != errno.EPIPE  # on EPIPE, the reader has closed the pipe


class _Stream:
    """A stream of text in the place of another, to which it writes."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.has_failed = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with self._failures_noted():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._failures_noted():
            self._stream.flush()

    @contextlib.contextmanager
    def _failures_noted(self) -> Any:
        try:
            yield
        except OSError as error:
            self.has_failed = True
            self._tell(error)

    def _tell(self, error: OSError) -> None:
        """Does nothing: failures are reported on this stream."""


class _Output(_Stream):
    def _tell(self, error: OSError) -> None:
        raise WriteError(error) from None


class Streams:
    """The standard streams of a command, as a context manager.

    Args:
        own_process: whether the process is the command's own, so that no other code uses its descriptors.
    """

    def __init__(self, *, own_process: bool) -> None:
        self._own_process = own_process

    def __enter__(self) -> Streams:
        if self._own_process:
            _keep_places()
        self._before = sys.stdout, sys.stderr
        self._output, self._errors = _Output(self._stream(sys.stdout, 1)), _Stream(self._stream(sys.stderr, 2))
        sys.stdout, sys.stderr = self._output, self._errors
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.stdout, sys.stderr = self._before
        if self._own_process:
            for stream, fd in ((self._output, 1), (self._errors, 2)):
                if stream.has_failed:
                    _let_go(fd)

    def _stream(self, stream: Any, fd: int) -> Any:
        """The stream; a new one if the interpreter found its descriptor closed. A character that the locale does not have is
        written as its number."""
        if stream is not None:
            if self._own_process and isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")
            return stream
        return os.fdopen(fd, "w", closefd=False) if self._own_process else io.StringIO()


def _keep_places() -> None:
    """Opens /dev/null for each closed standard descriptor, whose number the next file would get otherwise. The descriptor
    cannot be read or written either, and it is closed in programs that this process executes or starts."""
    for fd, the_wrong_way in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.open(os.devnull, the_wrong_way)


def _let_go(fd: int) -> None:
    """Redirects a descriptor to /dev/null: the interpreter would try again to write the stream's buffer, and fail."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, fd)
        os.close(nowhere)
