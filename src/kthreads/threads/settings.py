"""The settings of a thread: checked, and in the form that the engine reads."""

from __future__ import annotations

import errno
import faulthandler
import resource
import sys
import threading
from collections.abc import Iterable
from typing import Any

from kthreads import limits
from kthreads._native import ffi, lib
from kthreads.cpus import check_cpus
from kthreads.errors import start_error
from kthreads.flags.caller import Situation
from kthreads.flags.check import THREAD, check_thread_flags, refused
from kthreads.flags.clone_flags import SHARE_ALL, CloneFlags
from kthreads.integers import integer

__all__ = ["BACKENDS", "ThreadSettings"]

BACKENDS = {
    "clone": lib.KT_BACKEND_CLONE,
    "clone3": lib.KT_BACKEND_CLONE3,
    "pthread": lib.KT_BACKEND_PTHREAD,
    "bare_without_libc": lib.KT_BACKEND_BARE_WITHOUT_LIBC,
}

_SANITIZED = bool(lib.kt_sanitized())
_PYTHON_STACK_SIZE = 8 << 20  # where RLIMIT_STACK is unlimited; glibc's own default elsewhere

# Most threads have the same settings. Settings never change once they are made, so all such threads share one object.
_plain_settings: dict[tuple[int | None, bool, str, bool, bool], ThreadSettings] = {}


class ThreadSettings:
    """The checked settings of a thread, as a ``kt_spec``.

    Attributes:
        cdata: the ``kt_spec *``. It is only read.
        keep: the memory that its pointers point to.
        has_namespaces: whether the thread has namespaces of its own.
        refusable: those that the kernel may refuse, as text for a message; empty when there are none.
    """

    __slots__ = ("cdata", "has_namespaces", "keep", "refusable")

    def __init__(self, cdata: Any, keep: tuple[Any, ...], has_namespaces: bool, refusable: str) -> None:
        self.cdata = cdata
        self.keep = keep
        self.has_namespaces = has_namespaces
        self.refusable = refusable

    @classmethod
    def of(
        cls,
        *,
        is_native: bool,
        share: CloneFlags,
        namespaces: CloneFlags | int,
        stack_size: int | None,
        cpus: Iterable[int] | None,
        nice: int | None,
        reuse: bool,
        backend: str,
        name: str | None,
    ) -> ThreadSettings:
        """The settings from arguments of `Thread`.

        Raises:
            ValueError, TypeError: a setting is invalid.
        """
        altstack = faulthandler.is_enabled()
        if stack_size is not None:
            stack_size = integer("stack_size", stack_size)  # 65536.0 would find the entry of 65536 below
        size = stack_size if stack_size is not None or is_native else _python_stack_size()
        key = (size, reuse, backend, is_native, altstack)
        try:
            found = _plain_settings[key]  # get() would take the lock of the dict: see kthreads.iteration.contents
        except KeyError:
            found = _plain_settings[key] = cls._plain(*key)
        if share is not SHARE_ALL or namespaces != 0 or cpus is not None or nice is not None:
            found = found._with(share, namespaces, cpus, nice)
        return found if name is None else found.named(name)

    @classmethod
    def _plain(
        cls, stack_size: int | None, reuse: bool, backend: str, is_native: bool, altstack: bool
    ) -> ThreadSettings:
        cdata = ffi.new("kt_spec *")
        cdata.flags = SHARE_ALL
        cdata.backend = _check_backend(backend, is_native, reuse)
        cdata.stack_size = _check_stack_size(stack_size)
        cdata.options = lib.KT_OPTION_CPU_TIME if backend != "bare_without_libc" else 0
        cdata.options |= lib.KT_OPTION_REUSE if reuse else 0
        cdata.options |= lib.KT_OPTION_ALTSTACK if altstack else 0
        return cls(cdata, (), False, "")

    def _with(
        self, share: CloneFlags, namespaces: CloneFlags | int, cpus: Iterable[int] | None, nice: int | None
    ) -> ThreadSettings:
        cdata = ffi.new("kt_spec *", self.cdata[0])
        cdata.flags = check_thread_flags(share, namespaces)
        keep: tuple[Any, ...] = ()
        settings = []
        if nice is not None:
            cdata.options |= lib.KT_OPTION_NICE
            cdata.nice = _check_nice(nice)
            settings.append(f"nice={nice}")
        if cpus is not None:
            chosen = check_cpus(cpus)
            mask = _mask_of(chosen)
            cdata.cpus, cdata.cpus_size = mask, ffi.sizeof(mask)
            keep = (mask,)
            settings.append(f"cpus={sorted(chosen)}")
        return ThreadSettings(cdata, keep, bool(namespaces), " and ".join(settings))

    def named(self, name: str) -> ThreadSettings:
        """The same settings with another name, cut to the 15 bytes that the kernel keeps, at the end of a character."""
        text = ffi.new("char[]", name.encode(errors="replace")[:15].decode(errors="ignore").encode())
        cdata = ffi.new("kt_spec *", self.cdata[0])
        cdata.name = text
        return ThreadSettings(cdata, (*self.keep, text), self.has_namespaces, self.refusable)

    def error(self, code: int) -> Exception:
        """The exception for a start that the engine refused with this errno value."""
        if self.has_namespaces and code in (errno.EPERM, errno.ENOSPC):
            return refused(code, THREAD | CloneFlags(self.cdata.flags), "clone")
        missing = lib.kt_libc_missing()
        return start_error(
            code,
            settings=self.refusable,
            limits=limits.describe,
            memory_limits=limits.describe_memory,
            missing=None if missing == ffi.NULL else ffi.string(missing).decode(),
            elsewhere=Situation().pid_pending,
        )


def _check_backend(backend: str, is_native: bool, reuse: bool) -> int:
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, not {backend!r}")
    if backend == "bare_without_libc" and not is_native:
        raise ValueError("a bare thread has no libc of its own: it can run native leaf functions only")
    if backend == "bare_without_libc" and reuse:
        raise ValueError("a bare thread cannot be reused")
    if backend in ("clone", "clone3") and _SANITIZED:
        return int(BACKENDS["pthread"])  # ThreadSanitizer knows no threads but those of pthread_create
    return int(BACKENDS[backend])


def _check_stack_size(size: int | None) -> int:
    if size is None:
        return int(lib.KT_STACK_DEFAULT)
    if size < lib.KT_STACK_MINIMUM:
        raise ValueError(f"stack_size must be {lib.KT_STACK_MINIMUM} bytes or more, not {size}")
    if size > sys.maxsize // 2:
        raise ValueError(f"stack_size is too large: {size}")
    return size


def _python_stack_size() -> int:
    """The size that threading would use. The recursion limit of CPython assumes a stack of about that size."""
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    return threading.stack_size() or (_PYTHON_STACK_SIZE if soft == resource.RLIM_INFINITY else max(soft, 1 << 17))


def _check_nice(nice: int) -> int:
    nice = integer("nice", nice)
    if not -20 <= nice <= 19:
        raise ValueError(f"nice must be from -20 to 19, not {nice}")
    return nice


def _mask_of(cpus: set[int]) -> Any:
    """The mask that sched_setaffinity(2) takes."""
    mask = ffi.new("uint64_t[]", max(cpus) // 64 + 1)
    for cpu in cpus:
        mask[cpu // 64] |= 1 << cpu % 64
    return mask
