"""The exceptions of kthreads, and the one place that turns a negative errno into an exception."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = [
    "KThreadsError",
    "ThreadStateError",
    "ThreadLimitError",
    "ThreadMemoryError",
    "FlagError",
    "NamespaceError",
    "UnsupportedError",
    "LibcError",
    "SettingError",
    "ProcessStateError",
    "ProcessStartError",
    "ProcessNotFoundError",
    "ProcessPermissionError",
    "LibraryNotFoundError",
    "SymbolNotFoundError",
    "LibraryMismatchError",
    "NativeError",
    "LoopCancelledError",
    "LoopTimeoutError",
]


class KThreadsError(Exception):
    """Base class of all exceptions that are kthreads' own. They can be pickled and copied, attributes included."""

    def __reduce__(self) -> tuple[Any, ...]:
        names = [getattr(self, name, None) for name in _OF_OSERROR] if isinstance(self, OSError) else []
        return _restore, (type(self), self.args, names), self.__dict__


_OF_OSERROR = ("errno", "strerror", "filename", "filename2")


def _restore(kind: type[KThreadsError], args: tuple[Any, ...], of_oserror: list[Any]) -> KThreadsError:
    """An exception without a call of an __init__ of ours, which makes a message of other arguments."""
    has_init = any("__init__" in vars(each) for each in kind.__mro__ if issubclass(each, KThreadsError))
    error = kind.__new__(kind, *args) if has_init else kind(*args)
    error.args = args
    for name, value in zip(_OF_OSERROR, of_oserror, strict=False):
        if value is not None:  # OSError's own attributes, which are not in its arguments
            setattr(error, name, value)
    return error


class ThreadStateError(KThreadsError, RuntimeError):
    """A thread was asked for what it cannot do now: started twice, joined before its start, joined by itself."""


class ThreadLimitError(KThreadsError, OSError, RuntimeError):
    """The kernel refused one more thread (EAGAIN); the message names the limits and where they stand."""


class ThreadMemoryError(KThreadsError, MemoryError):
    """There is no memory, or no room for another mapping, for one more thread (ENOMEM)."""


class FlagError(KThreadsError, ValueError):
    """A combination of flags that the kernel refuses, or would do something else with; the message says which rule.

    Attributes:
        errno: what the kernel would answer; 0 where it would ignore a flag.
    """

    def __init__(self, message: str, errno: int) -> None:
        super().__init__(message)
        self.errno = errno


class NamespaceError(KThreadsError, PermissionError):
    """A thread may not have a namespace of its own (EPERM), or not one more (ENOSPC)."""


class UnsupportedError(KThreadsError, NotImplementedError):
    """This kernel, libc or build lacks what was asked for; the message says what and what to do."""


class LibcError(UnsupportedError):
    """The self-check found a libc that kthreads does not understand; the message names what is missing."""


class SettingError(KThreadsError, OSError):
    """The kernel refused a setting of a thread, such as its CPUs or its nice value."""


class ProcessStateError(KThreadsError, RuntimeError):
    """A process was asked for what it cannot do now."""


class ProcessStartError(KThreadsError, OSError):
    """A child process ended before its program or function began; the message names the step that failed.

    Also a FileNotFoundError or a PermissionError where that is what it was, as from subprocess.

    Attributes:
        step: what could not be done, such as "mount on /proc".
    """

    step = ""

    def __str__(self) -> str:
        # The text of a step says which file it is about.
        said = self.filename is not None and self.step and self.step in str(self.strerror)
        return f"[Errno {self.errno}] {self.strerror}" if said else super().__str__()


class ProcessNotFoundError(ProcessStartError, FileNotFoundError):
    """Something that a step names is not there (ENOENT)."""


class ProcessPermissionError(ProcessStartError, PermissionError):
    """A step was not allowed (EACCES, EPERM)."""


class LibraryNotFoundError(KThreadsError, OSError):
    """A shared library could not be opened; `filename` is what it was called."""

    def __str__(self) -> str:
        return str(self.strerror or super().__str__())  # which says already which library


class SymbolNotFoundError(KThreadsError, AttributeError):
    """A shared library has no function of that name."""


class LibraryMismatchError(KThreadsError, RuntimeError):
    """A native function is used that was unpickled where another build of its library is loaded.

    Attributes:
        library: its name, as `symbol` was given it.
        expected: what tells the build that the function was pickled from: ``build-id …``, or, of a library without one,
            ``sha256 … of … bytes``.
        found: the same of the build that is loaded here.
    """

    def __init__(self, library: str, name: str, expected: str, found: str) -> None:
        super().__init__(
            f"{name}() was pickled from {library} with {expected}, but here that library has {found}: "
            "install the same build of it on both sides"
        )
        self.library, self.expected, self.found = library, expected, found


class NativeError(KThreadsError, RuntimeError):
    """The body of a parallel loop returned an integer that is not 0: it failed.

    Attributes:
        code: what it returned.
        begin: where the chunk began that failed first, and
        end: where it ended.
        errno: as the body left it.
    """

    def __init__(self, name: str, code: int, begin: int, end: int, *, errno: int = 0) -> None:
        reason = f", errno {errno} ({os.strerror(errno)})" if errno else ""
        super().__init__(f"{name}() returned {code} for the chunk from {begin} to {end}{reason}")
        self.code, self.begin, self.end, self.errno = code, begin, end, errno


class LoopCancelledError(KThreadsError):
    """A parallel loop was stopped by its CancelToken.

    Attributes:
        done: items that were done, of
        count: all.
    """

    def __init__(self, message: str, done: int, count: int) -> None:
        super().__init__(message)
        self.done, self.count = done, count


class LoopTimeoutError(LoopCancelledError, TimeoutError):
    """A parallel loop was stopped as its time was over."""


def start_error(
    code: int,
    *,
    settings: str,
    missing: str | None,
    limits: Callable[[], str],
    memory_limits: Callable[[], str],
    elsewhere: bool = False,
) -> Exception:
    """The exception for a thread that did not start.

    Args:
        code: the positive errno value.
        settings: the settings that were asked for, as text; empty for none.
        missing: what the libc probe did not find, or None.
        limits: describes the limits on threads, where one is reached.
        memory_limits: those on memory.
        elsewhere: whether the starter's children go to another PID namespace than its own.
    """
    reason = os.strerror(code)
    if code == errno.EAGAIN:
        return ThreadLimitError(code, f"can't start new thread: a limit is reached ({limits()})")
    if code == errno.ENOMEM:
        return ThreadMemoryError(f"can't start new thread: no memory for its stack ({memory_limits()})")
    if code == errno.ENOTSUP and missing is not None:
        return LibcError(
            f"this libc is not one that kthreads understands: {missing!r} was not found or not as expected; "
            'use backend="pthread"'
        )
    if code == errno.ENOTSUP:
        return UnsupportedError('this build can only start threads with backend="pthread" (ThreadSanitizer)')
    if elsewhere and code == errno.EINVAL:
        return ThreadStateError(
            "can't start new thread: since unshare() or setns() with NEWPID, children of this thread go to another PID "
            "namespace, and all threads of a process are in one; leave it first, or start the thread before"
        )
    if settings:
        return SettingError(code, f"can't start a thread with {settings}: {reason}")
    return KThreadsError(f"can't start new thread: {reason}")


def process_error(code: int, does: str, *, filename: object, path: str | None = None) -> Exception:
    """The exception for a process that did not start.

    Args:
        code: the positive errno value.
        does: what could not be done, as "cannot …".
        filename: the program that could not be executed; None for other steps.
        path: the file that another step names, if it names one.
    """
    reason = os.strerror(code)
    if filename is not None:
        error: ProcessStartError = _process_error_kind(code)(code, reason, filename)
    else:
        error = _process_error_kind(code)(code, f"cannot {does}: {reason}", path)
    error.step = does
    return error


def _process_error_kind(code: int) -> type[ProcessStartError]:
    if code == errno.ENOENT:
        return ProcessNotFoundError
    return ProcessPermissionError if code in (errno.EACCES, errno.EPERM) else ProcessStartError


def raise_for(code: int, doing: str) -> NoReturn:
    """Raises the exception for a negative errno value that came while `doing`."""
    if -code == errno.EDEADLK:
        raise ThreadStateError(f"{doing}: a thread cannot wait for itself")
    if -code == errno.EINVAL:
        raise ValueError(f"{doing}: {os.strerror(-code)}")
    raise OSError(-code, f"{doing}: {os.strerror(-code)}")


def check(code: int, doing: str) -> int:
    """Returns what a C function returned, or raises what its negative errno value means."""
    if code < 0:
        raise_for(code, doing)
    return code
