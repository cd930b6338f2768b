"""Linux kernel threads by clone(2), with a whole libc, to run native functions in parallel without the GIL."""

from __future__ import annotations

import os as _os
import platform as _platform
import sys as _sys


def _refusal() -> str | None:
    """Why kthreads cannot run here, as one sentence; None where it can."""
    libc = (_os.confstr("CS_GNU_LIBC_VERSION") or "") if "CS_GNU_LIBC_VERSION" in _os.confstr_names else ""
    machine = _platform.machine()
    here = f"{libc or 'no glibc'} on {_platform.system()} {machine}"
    name, _, version = libc.partition(" ")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if _sys.platform == "linux" and machine in ("x86_64", "aarch64") and name == "glibc" and numbers >= (2, 34):
        return None
    return f"kthreads needs Linux on x86-64 or aarch64 with glibc 2.34 or later, but this is {here}"


if (_reason := _refusal()) is not None:
    raise ImportError(_reason)

__version__ = "0.1.0"

from kthreads.batch import Batch  # noqa: E402
from kthreads.cancel import CancelToken  # noqa: E402
from kthreads.child import Child, clone  # noqa: E402
from kthreads.entry import Entry, setns, unshare  # noqa: E402
from kthreads.errors import (  # noqa: E402
    FlagError,
    KThreadsError,
    LibcError,
    LibraryMismatchError,
    LibraryNotFoundError,
    LoopCancelledError,
    LoopTimeoutError,
    NamespaceError,
    NativeError,
    ProcessStartError,
    ProcessStateError,
    SettingError,
    SymbolNotFoundError,
    ThreadLimitError,
    ThreadMemoryError,
    ThreadStateError,
    UnsupportedError,
)
from kthreads.executor import ThreadPoolExecutor  # noqa: E402
from kthreads.explanation import Effect, Explanation, explain  # noqa: E402
from kthreads.flags import NAMESPACES, SHARE_ALL, THREAD_NAMESPACES, CloneFlags  # noqa: E402
from kthreads.limits import cpu_count, default_workers, set_default_workers  # noqa: E402
from kthreads.loop import Loop  # noqa: E402
from kthreads.memory import Usage, park_timeout, trim, usage  # noqa: E402
from kthreads.mounts import Bind, Dev, Overlay, Proc, Sys, Tmpfs  # noqa: E402
from kthreads.namespace import Member, Namespace, namespaces  # noqa: E402
from kthreads.native import NativeFunction, native, symbol  # noqa: E402
from kthreads.perworker import WORKER_INDEX, PerWorker  # noqa: E402
from kthreads.pool import Pool  # noqa: E402
from kthreads.poolstats import PoolStats, WorkerStats  # noqa: E402
from kthreads.process import Process  # noqa: E402
from kthreads.rule import Problem  # noqa: E402
from kthreads.situation import Situation  # noqa: E402
from kthreads.thread import Thread  # noqa: E402

from kthreads import lifecycle as _lifecycle  # noqa: E402, F401, isort: skip
from kthreads.waiting import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, WaitResult, wait  # noqa: E402

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "NAMESPACES",
    "SHARE_ALL",
    "THREAD_NAMESPACES",
    "WORKER_INDEX",
    "Batch",
    "Bind",
    "CancelToken",
    "Child",
    "CloneFlags",
    "Dev",
    "Effect",
    "Entry",
    "Explanation",
    "FlagError",
    "KThreadsError",
    "LibcError",
    "LibraryMismatchError",
    "LibraryNotFoundError",
    "Loop",
    "LoopCancelledError",
    "LoopTimeoutError",
    "Member",
    "Namespace",
    "NamespaceError",
    "NativeError",
    "NativeFunction",
    "Overlay",
    "PerWorker",
    "Pool",
    "PoolStats",
    "Problem",
    "Proc",
    "Process",
    "ProcessStartError",
    "ProcessStateError",
    "SettingError",
    "Situation",
    "SymbolNotFoundError",
    "Sys",
    "Thread",
    "ThreadLimitError",
    "ThreadMemoryError",
    "ThreadPoolExecutor",
    "ThreadStateError",
    "Tmpfs",
    "UnsupportedError",
    "Usage",
    "WaitResult",
    "WorkerStats",
    "clone",
    "cpu_count",
    "default_workers",
    "explain",
    "get_include",
    "namespaces",
    "native",
    "park_timeout",
    "set_default_workers",
    "setns",
    "symbol",
    "trim",
    "unshare",
    "usage",
    "wait",
]


def get_include() -> str:
    """The folder to give a C compiler with -I, for `#include <kthreads/kthreads.h>`."""
    return _os.path.join(_os.path.dirname(__file__), "include")
