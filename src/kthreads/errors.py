"""The exceptions of kthreads, and the functions that turn an errno value into an exception."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = [
    "BuildCacheError",
    "CompileError",
    "CompilerNotFoundError",
    "DeclarationError",
    "FlagError",
    "KThreadsError",
    "LibcError",
    "LibraryMismatchError",
    "LibraryNotFoundError",
    "LoopCancelledError",
    "LoopTimeoutError",
    "NamespaceError",
    "NativeError",
    "ProcessBlockingError",
    "ProcessFileExistsError",
    "ProcessIsADirectoryError",
    "ProcessNotADirectoryError",
    "ProcessNotFoundError",
    "ProcessPermissionError",
    "ProcessStartError",
    "ProcessStateError",
    "SettingError",
    "SymbolNotFoundError",
    "ThreadLimitError",
    "ThreadMemoryError",
    "ThreadStateError",
    "UnsupportedError",
]


class KThreadsError(Exception):
    """Base class of all exceptions that kthreads defines. They can be pickled and copied with their attributes."""

    def __reduce__(self) -> tuple[Any, ...]:
        names = [getattr(self, name, None) for name in _OSERROR_ATTRIBUTES] if isinstance(self, OSError) else []
        return _restore, (type(self), self.args, names), self.__dict__


_OSERROR_ATTRIBUTES = ("errno", "strerror", "filename", "filename2")


def _restore(kind: type[KThreadsError], args: tuple[Any, ...], of_oserror: list[Any]) -> KThreadsError:
    """Makes an exception from its `args`. Does not call an __init__ of this module: it takes other arguments than `args`."""
    has_init = any("__init__" in vars(each) for each in kind.__mro__ if issubclass(each, KThreadsError))
    error = kind.__new__(kind, *args) if has_init else kind(*args)
    error.args = args
    for name, value in zip(_OSERROR_ATTRIBUTES, of_oserror, strict=False):
        if value is not None:  # OSError does not keep these attributes in its `args`
            setattr(error, name, value)
    return error


class ThreadStateError(KThreadsError, RuntimeError):
    """The state of a thread does not allow the call: it was started twice, joined before its start, or joined itself."""


class ThreadLimitError(KThreadsError, OSError, RuntimeError):
    """The kernel refused to create another thread (EAGAIN). The message names the limits and how much of each is used."""


class ThreadMemoryError(KThreadsError, MemoryError, RuntimeError):
    """There is not enough memory for another thread, or the limit on mappings is reached (ENOMEM)."""


class FlagError(KThreadsError, ValueError):
    """The kernel refuses the combination of flags, or would ignore a part of it. The message says which rule it breaks.

    Attributes:
        errno: the errno that the kernel would return; 0 where it would ignore a flag.
    """

    def __init__(self, message: str, errno: int) -> None:
        super().__init__(message)
        self.errno = errno


class NamespaceError(KThreadsError, PermissionError):
    """The caller may not create or enter a namespace (EPERM), or a limit on namespaces is reached (ENOSPC)."""


class UnsupportedError(KThreadsError, NotImplementedError):
    """This kernel, libc or build does not support the call. The message says what is missing and what to do."""


class LibcError(UnsupportedError):
    """The self-check found a libc that kthreads does not support. The message names what is missing."""


class SettingError(KThreadsError, OSError):
    """The kernel refused a setting of a thread, such as its CPUs or its nice value."""


class ProcessStateError(KThreadsError, RuntimeError):
    """The state of a process does not allow the call."""


class ProcessStartError(KThreadsError, OSError):
    """A child process ended before its program or function started. The message names the step that failed.

    Its subclasses are also the subclass of OSError for the errno value, such as FileNotFoundError, as `subprocess` raises it.

    Attributes:
        step: the step that failed, such as "mount on /proc".
    """

    step = ""

    def __str__(self) -> str:
        # The text of a step already names its file.
        names_file = self.filename is not None and self.step and self.step in str(self.strerror)
        return f"[Errno {self.errno}] {self.strerror}" if names_file else super().__str__()


class ProcessNotFoundError(ProcessStartError, FileNotFoundError):
    """A file that a step names does not exist (ENOENT)."""


class ProcessPermissionError(ProcessStartError, PermissionError):
    """A step was not permitted (EACCES, EPERM)."""


class ProcessFileExistsError(ProcessStartError, FileExistsError):
    """A file that a step makes exists already, and is another one (EEXIST)."""


class ProcessNotADirectoryError(ProcessStartError, NotADirectoryError):
    """A file that a step names is no folder; or a folder is to be mounted on another file, or the reverse (ENOTDIR)."""


class ProcessIsADirectoryError(ProcessStartError, IsADirectoryError):
    """A file that a step names is a folder (EISDIR)."""


class ProcessBlockingError(ProcessStartError, BlockingIOError):
    """A limit on processes is reached, for now (EAGAIN)."""


class DeclarationError(KThreadsError, TypeError):
    """A text is not the C declaration of a function, or not one that kthreads can read. The message says where."""


class CompilerNotFoundError(KThreadsError, FileNotFoundError):
    """There is no compiler for C or C++ source."""

    def __str__(self) -> str:
        return str(self.strerror)


class CompileError(KThreadsError, ValueError):
    """A compiler refused the source. The message has the compiler's own diagnostics, with their line numbers.

    Attributes:
        diagnostics: what the compiler wrote.
        command: how it was called.
    """

    def __init__(self, diagnostics: str, command: str) -> None:
        super().__init__(f"{diagnostics}\n(by the command: {command})")
        self.diagnostics, self.command = diagnostics, command


class BuildCacheError(KThreadsError, PermissionError):
    """The folder of compiled libraries cannot be used: it cannot be made, or others could have written to it."""

    def __str__(self) -> str:
        return str(self.strerror)


class LibraryNotFoundError(KThreadsError, OSError):
    """A shared library could not be opened. `filename` is the name that was given for it."""

    def __str__(self) -> str:
        return str(self.strerror or super().__str__())  # strerror already names the library


class SymbolNotFoundError(KThreadsError, AttributeError):
    """A shared library has no function of that name."""


class LibraryMismatchError(KThreadsError, RuntimeError):
    """A native function was unpickled in a process that has loaded another build of its library, and was then used.

    Attributes:
        library: the name that was passed to `symbol`.
        expected: identifies the build that the function was pickled from: ``build-id …``, or ``sha256 … of … bytes``
            for a library without a build id.
        found: identifies the build that this process has loaded.
    """

    def __init__(self, library: str, name: str, expected: str, found: str) -> None:
        super().__init__(
            f"{name}() was pickled from {library} with {expected}, but here that library has {found}: "
            "install the same build on both sides"
        )
        self.library, self.expected, self.found = library, expected, found


class NativeError(KThreadsError, RuntimeError):
    """The body of a parallel loop failed: it returned an integer other than 0.

    Attributes:
        code: the integer that the body returned.
        begin: the first item of the chunk that failed first.
        end: the item after the last one of this chunk.
        errno: the value of errno when the body returned.
    """

    def __init__(self, name: str, code: int, begin: int, end: int, *, errno: int = 0) -> None:
        reason = f", errno {errno} ({os.strerror(errno)})" if errno else ""
        super().__init__(f"{name}() returned {code} for the chunk from {begin} to {end}{reason}")
        self.code, self.begin, self.end, self.errno = code, begin, end, errno


class LoopCancelledError(KThreadsError):
    """A CancelToken stopped a parallel loop.

    Attributes:
        done: the number of items that were done.
        count: the number of all items.
    """

    def __init__(self, message: str, done: int, count: int) -> None:
        super().__init__(message)
        self.done, self.count = done, count


class LoopTimeoutError(LoopCancelledError, TimeoutError):
    """A parallel loop stopped because its timeout expired."""


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
        settings: the settings of the thread, as text; empty for none.
        missing: the name of what the libc probe did not find, or None.
        limits: returns a description of the limits on threads; called only if one is reached.
        memory_limits: returns a description of the limits on memory; called only if memory is missing.
        elsewhere: whether the caller's children enter another PID namespace than its own.
    """
    reason = os.strerror(code)
    if code == errno.EAGAIN:
        return ThreadLimitError(code, f"can't start new thread: a limit is reached ({limits()})")
    if code == errno.ENOMEM:
        return ThreadMemoryError(f"can't start new thread: not enough memory for its stack ({memory_limits()})")
    if code == errno.ENOTSUP and missing is not None:
        return LibcError(
            f'kthreads does not support this libc: {missing!r} was not found or not as expected; use backend="pthread"'
        )
    if code == errno.ENOTSUP:
        return UnsupportedError('this build can only start threads with backend="pthread" (ThreadSanitizer)')
    if elsewhere and code == errno.EINVAL:
        return ThreadStateError(
            "can't start new thread: after unshare() or setns() with NEWPID, children of this thread enter another PID "
            "namespace, and all threads of a process must be in one; start the thread before that call"
        )
    if settings:
        return SettingError(code, f"can't start a thread with {settings}: {reason}")
    return KThreadsError(f"can't start new thread: {reason}")


def process_error(code: int, does: str, *, filename: object, path: str | None = None) -> Exception:
    """The exception for a process that did not start.

    Args:
        code: the positive errno value.
        does: the step that failed, as it reads after "cannot".
        filename: the program that could not be executed; None for other steps.
        path: the file that another step names; None if it names no file.
    """
    reason = os.strerror(code)
    if filename is not None:
        error: ProcessStartError = _process_error_kind(code)(code, reason, filename)
    else:
        error = _process_error_kind(code)(code, f"cannot {does}: {reason}", path)
    error.step = does
    return error


_OF_PROCESSES: tuple[type[ProcessStartError], ...] = (
    ProcessNotFoundError,
    ProcessPermissionError,
    ProcessFileExistsError,
    ProcessNotADirectoryError,
    ProcessIsADirectoryError,
    ProcessBlockingError,
)


def _process_error_kind(code: int) -> type[ProcessStartError]:
    of_python = type(OSError(code, ""))  # Python knows which of its classes an errno value has
    fitting = (kind for kind in _OF_PROCESSES if of_python is not OSError and issubclass(kind, of_python))
    return next(fitting, ProcessStartError)


def raise_for(code: int, doing: str) -> NoReturn:
    """Raises the exception for a negative errno value; `doing` names the operation that failed."""
    if -code == errno.EDEADLK:
        raise ThreadStateError(f"{doing}: a thread cannot wait for itself")
    if -code == errno.EINVAL:
        raise ValueError(f"{doing}: {os.strerror(-code)}")
    raise OSError(-code, f"{doing}: {os.strerror(-code)}")


def check(code: int, doing: str) -> int:
    """Returns the value that a C function returned, or raises the exception for a negative errno value."""
    if code < 0:
        raise_for(code, doing)
    return code
