"""The lives of a program's threads: the file in which the preloaded library records them."""

from __future__ import annotations

import mmap
import os
import tempfile
from types import TracebackType
from typing import Any, NamedTuple

from kthreads._native import ffi, lib

__all__ = ["HANDED", "Life", "LivesFile", "Record"]

CAPACITY = 1 << 20

HANDED = {
    lib.KT_HANDED_BACKEND: "the backend is pthread",
    lib.KT_HANDED_LIBC: "the engine does not understand this libc",
    lib.KT_HANDED_DETACHED_STACK: "detached, on a stack of the program's own",
    lib.KT_HANDED_SMALL_STACK: "a stack of the program's own without room for libc's data",
    lib.KT_HANDED_UNCHECKED: "the engine could not check this libc: the keys of the program, or memory, were used up",
    lib.KT_HANDED_CPUS: f"an affinity with CPUs beyond {lib.KT_PRELOAD_CPUS}",
}
"""Why a thread was left to libc, by `Life.handed`."""


class Life(NamedTuple):
    """The life of a thread. Times are ns of CLOCK_MONOTONIC, and 0 for what has not happened."""

    create_ns: int
    """The call that makes it."""
    begin_ns: int
    """Its first instruction after libc has set it up."""
    end_ns: int
    """Its start routine has returned, called pthread_exit or was cancelled."""
    join_ns: int
    """The call of the join that succeeded, and its return:"""
    joined_ns: int
    flags: int
    """Of clone; 0 for a thread of libc."""
    stack_size: int
    pid: int
    tid: int
    image: int
    """Which executed program or forked child has made it."""
    error: int
    """What pthread_create has returned."""
    handed: int
    """0 for a thread of the engine, else a key of `HANDED`."""
    detached: int
    reused: int
    own_stack: int


class Record(NamedTuple):
    """What a file of lives says: the lives, and how many threads were asked for, of which the file may have fewer."""

    lives: list[Life]
    threads: int


class LivesFile:
    """A file for the library to write into, as a context manager. It is gone at the end.

    Attributes:
        path: for the environment of the program.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity

    def __enter__(self) -> LivesFile:
        folder = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        fd, self.path = tempfile.mkstemp(prefix="kthreads-exec-", dir=folder)
        try:
            size = lib.KT_STATISTICS_HEAD + self._capacity * ffi.sizeof("kt_life")
            os.truncate(fd, size)  # pages that no life is in take no memory
            self._memory = mmap.mmap(fd, size)
        except BaseException:
            os.unlink(self.path)
            raise
        finally:
            os.close(fd)
        self._head: Any = ffi.from_buffer("kt_statistics *", self._memory)
        self._head.magic, self._head.capacity = lib.KT_STATISTICS_MAGIC, self._capacity
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.unlink(self.path)
        ffi.release(self._head)
        self._memory.close()

    def read(self) -> Record:
        """What is recorded so far."""
        threads = int(self._head.threads)
        first: Any = ffi.cast("kt_life *", ffi.cast("char *", self._head) + lib.KT_STATISTICS_HEAD)
        return Record([_life(first[number]) for number in range(min(threads, self._capacity))], threads)


def _life(found: Any) -> Life:
    return Life(*(int(getattr(found, field)) for field in Life._fields))
