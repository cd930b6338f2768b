"""The exceptions of kthreads, and the one place that turns a negative errno into an exception."""

from __future__ import annotations

import errno
import os
from typing import NoReturn

from kthreads import limits


class KThreadsError(Exception):
    """Base class of all exceptions that are kthreads' own."""


class ThreadStateError(KThreadsError, RuntimeError):
    """A thread was asked for what it cannot do now: started twice, joined before its start, joined by itself."""


class ThreadLimitError(KThreadsError, OSError, RuntimeError):
    """The kernel refused one more thread (EAGAIN); the message names the limits and where they stand."""


class ThreadMemoryError(KThreadsError, MemoryError):
    """There is no memory, or no room for another mapping, for one more thread (ENOMEM)."""


class NamespaceError(KThreadsError, PermissionError):
    """A thread may not have a namespace of its own (EPERM), or not one more (ENOSPC)."""


class UnsupportedError(KThreadsError, NotImplementedError):
    """This kernel, libc or build lacks what was asked for; the message says what and what to do."""


class LibcError(UnsupportedError):
    """The self-check found a libc that kthreads does not understand; the message names what is missing."""


class SettingError(KThreadsError, OSError):
    """The kernel refused a setting of a thread, such as its CPUs or its nice value."""


class LibraryNotFoundError(KThreadsError, OSError):
    """A shared library could not be opened."""


class SymbolNotFoundError(KThreadsError, AttributeError):
    """A shared library has no function of that name."""


def start_error(code: int, *, namespaces: bool, settings: str, missing: str | None) -> Exception:
    """The exception for a thread that did not start.

    Args:
        code: the positive errno value.
        namespaces: whether the thread was to have namespaces of its own.
        settings: the settings that were asked for, as text; empty for none.
        missing: what the libc probe did not find, or None.
    """
    reason = os.strerror(code)
    if code == errno.EAGAIN:
        return ThreadLimitError(code, f"can't start new thread: a limit is reached ({limits.describe()})")
    if code == errno.ENOMEM:
        return ThreadMemoryError(f"can't start new thread: no memory for its stack ({limits.describe_memory()})")
    if code == errno.ENOTSUP and missing is not None:
        return LibcError(
            f"this libc is not one that kthreads understands: {missing!r} was not found or not as expected; "
            'use backend="pthread"'
        )
    if code == errno.ENOTSUP:
        return UnsupportedError('this build can only start threads with backend="pthread" (ThreadSanitizer)')
    if namespaces and code in (errno.EPERM, errno.ENOSPC):
        advice = (
            "it needs CAP_SYS_ADMIN in the user namespace that owns the current ones"
            if code == errno.EPERM
            else "a limit in /proc/sys/user/max_*_namespaces is reached"
        )
        return NamespaceError(code, f"can't start a thread in new namespaces: {reason}; {advice}")
    if settings:
        return SettingError(code, f"can't start a thread with {settings}: {reason}")
    return KThreadsError(f"can't start new thread: {reason}")


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
