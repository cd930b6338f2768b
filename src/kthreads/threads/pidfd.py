"""A descriptor that is readable when a thread has ended."""

from __future__ import annotations

import errno
from typing import Any

from kthreads._native import lib
from kthreads.descriptors import Descriptors
from kthreads.errors import ThreadStateError, UnsupportedError, check

__all__ = ["PidFd"]


class PidFd(Descriptors):
    """A pidfd of a running thread (pidfd_open(2), PIDFD_THREAD), closed with this object.

    Args:
        handle: the ``kt_thread *``.

    Raises:
        UnsupportedError: a kernel before Linux 6.9, or a thread started with `reuse`.
        ThreadStateError: the thread has ended.
        OSError: there are too many open files.
    """

    def __init__(self, handle: Any) -> None:
        super().__init__()
        fd = self.open(lib.kt_thread_pidfd, handle)
        if fd in (-errno.EINVAL, -errno.ENOSYS):
            raise UnsupportedError("a pidfd of a thread needs Linux 6.9 (PIDFD_THREAD)")
        if fd == -errno.ENOTSUP:
            raise UnsupportedError(
                "a reusable thread has no pidfd: it would be readable at the end of the kernel thread, not of this run"
            )
        if fd == -errno.ESRCH:
            raise ThreadStateError("the thread has ended: only a running thread has a pidfd")
        check(fd, "opening a pidfd")

    @property
    def fd(self) -> int:
        """The descriptor; -1 once it is closed."""
        return self[0] if self else -1
