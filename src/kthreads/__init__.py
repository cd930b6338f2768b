"""Linux kernel threads by clone(2), with a whole libc, to run native functions in parallel without the GIL."""

from __future__ import annotations

import os as _os
import sys as _sys
from typing import TYPE_CHECKING as _TYPE_CHECKING


def _refusal() -> str | None:
    """Why kthreads cannot run here, as one sentence; None where it can."""
    libc = (_os.confstr("CS_GNU_LIBC_VERSION") or "") if "CS_GNU_LIBC_VERSION" in _os.confstr_names else ""
    system, machine = _os.uname().sysname, _os.uname().machine
    name, _, version = libc.partition(" ")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if _sys.platform == "linux" and machine in ("x86_64", "aarch64") and name == "glibc" and numbers >= (2, 34):
        return None
    here = f"{libc or 'no glibc'} on {system} {machine}"
    return f"kthreads needs Linux on x86-64 or aarch64 with glibc 2.34 or later, but this is {here}"


if (_reason := _refusal()) is not None:
    raise ImportError(_reason)

try:
    from kthreads import _native  # noqa: F401
except ImportError as _error:
    if "subinterpreter" in str(_error):  # the words of CPython's Python/import.c
        raise ImportError(
            "kthreads needs an interpreter that shares the GIL of the main one: this subinterpreter has a GIL of its own"
        ) from _error
    raise

__version__ = "0.1.0"

from kthreads import cffi_names as _cffi_names  # noqa: E402, F401 (before cffi is used)
from kthreads import lifecycle as _lifecycle  # noqa: E402, F401 (its hooks come where kthreads is imported)
from kthreads.late_names import late_names as _late_names  # noqa: E402

if _TYPE_CHECKING:
    from kthreads import errors, flags, limits, memory, mounts, namespaces, pools, processes, threads  # noqa: F401
    from kthreads.errors import (
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
    from kthreads.flags.clone_flags import CloneFlags
    from kthreads.flags.explanation import explain
    from kthreads.functions.function import NativeFunction
    from kthreads.functions.sources import native
    from kthreads.functions.symbol import symbol
    from kthreads.libraries.compile_c import compile_c
    from kthreads.libraries.library import Library
    from kthreads.limits import cpu_count
    from kthreads.namespaces.enter import setns, unshare
    from kthreads.pools.cancel import CancelToken
    from kthreads.pools.executor import ThreadPoolExecutor
    from kthreads.pools.per_worker import WORKER_INDEX, PerWorker
    from kthreads.pools.pool import Pool
    from kthreads.pools.slices import Slices
    from kthreads.processes.clone import clone
    from kthreads.processes.process import Process
    from kthreads.threads.thread import Thread
    from kthreads.threads.wait import ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION, wait

__all__ = [
    "ALL_COMPLETED",
    "FIRST_COMPLETED",
    "FIRST_EXCEPTION",
    "WORKER_INDEX",
    "CancelToken",
    "CloneFlags",
    "FlagError",
    "KThreadsError",
    "Library",
    "LoopCancelledError",
    "NativeError",
    "NativeFunction",
    "PerWorker",
    "Pool",
    "Process",
    "ProcessStartError",
    "ProcessStateError",
    "Slices",
    "Thread",
    "ThreadLimitError",
    "ThreadMemoryError",
    "ThreadPoolExecutor",
    "ThreadStateError",
    "UnsupportedError",
    "clone",
    "compile_c",
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


# The modules, and the names that each has for this one.
_PLACES = {
    "kthreads.errors": """errors FlagError KThreadsError LoopCancelledError NativeError ProcessStartError ProcessStateError
        ThreadLimitError ThreadMemoryError ThreadStateError UnsupportedError""",
    "kthreads.flags": "flags",
    "kthreads.flags.clone_flags": "CloneFlags",
    "kthreads.flags.explanation": "explain",
    "kthreads.functions": "functions",
    "kthreads.functions.function": "NativeFunction",
    "kthreads.functions.sources": "native",
    "kthreads.functions.symbol": "symbol",
    "kthreads.limits": "limits cpu_count",
    "kthreads.memory": "memory",
    "kthreads.mounts": "mounts",
    "kthreads.namespaces": "namespaces",
    "kthreads.namespaces.enter": "setns unshare",
    "kthreads.pools": "pools",
    "kthreads.pools.cancel": "CancelToken",
    "kthreads.pools.executor": "ThreadPoolExecutor",
    "kthreads.pools.per_worker": "PerWorker WORKER_INDEX",
    "kthreads.pools.pool": "Pool",
    "kthreads.pools.slices": "Slices",
    "kthreads.processes": "processes",
    "kthreads.processes.clone": "clone",
    "kthreads.processes.process": "Process",
    "kthreads.threads": "threads",
    "kthreads.threads.thread": "Thread",
    "kthreads.threads.wait": "ALL_COMPLETED FIRST_COMPLETED FIRST_EXCEPTION wait",
}
_FOR_FEW_PROGRAMS = {
    "kthreads.libraries": "libraries",
    "kthreads.libraries.compile_c": "compile_c",
    "kthreads.libraries.library": "Library",
}
__getattr__, __dir__ = _late_names(
    __name__, {place: names.split() for place, names in (_PLACES | _FOR_FEW_PROGRAMS).items()}
)

# All at once, before the program enters another root or gives up privileges: a module that was looked for later would be
# read there, or not be found. The command alone imports what it uses, as it ends sooner than the others are read.
if "kthreads_command" not in _sys.modules:
    for _name in " ".join(_PLACES.values()).split():
        __getattr__(_name)
