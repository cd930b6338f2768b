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

from kthreads import errors, flags, limits, memory, mounts, namespaces  # noqa: E402, F401
from kthreads import lifecycle as _lifecycle  # noqa: E402, F401
from kthreads.errors import (  # noqa: E402
    FlagError,
    KThreadsError,
    LoopCancelledError,
    NativeError,
    ProcessStartError,
    ProcessStateError,
    ThreadLimitError,
    ThreadMemoryError,
    ThreadStateError,
    UnsupportedError,
)
from kthreads.flags import CloneFlags, explain  # noqa: E402
from kthreads.functions.function import NativeFunction  # noqa: E402
from kthreads.functions.sources import native  # noqa: E402
from kthreads.functions.symbol import symbol  # noqa: E402
from kthreads.limits import cpu_count  # noqa: E402
from kthreads.namespaces import setns, unshare  # noqa: E402
from kthreads.pools.cancel import CancelToken  # noqa: E402
from kthreads.pools.executor import ThreadPoolExecutor  # noqa: E402
from kthreads.pools.per_worker import WORKER_INDEX, PerWorker  # noqa: E402
from kthreads.pools.pool import Pool  # noqa: E402
from kthreads.processes.clone import clone  # noqa: E402
from kthreads.processes.process import Process  # noqa: E402
from kthreads.threads.thread import Thread  # noqa: E402
from kthreads.threads.wait import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, wait  # noqa: E402

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "WORKER_INDEX",
    "CancelToken",
    "CloneFlags",
    "FlagError",
    "KThreadsError",
    "LoopCancelledError",
    "NativeError",
    "NativeFunction",
    "PerWorker",
    "Pool",
    "Process",
    "ProcessStartError",
    "ProcessStateError",
    "Thread",
    "ThreadLimitError",
    "ThreadMemoryError",
    "ThreadPoolExecutor",
    "ThreadStateError",
    "UnsupportedError",
    "clone",
    "cpu_count",
    "explain",
    "get_include",
    "native",
    "setns",
    "symbol",
    "unshare",
    "wait",
]


def get_include() -> str:
    """The folder to give a C compiler with -I, for `#include <kthreads/kthreads.h>`."""
    return _os.path.join(_os.path.dirname(__file__), "include")
