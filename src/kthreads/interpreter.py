"""The interpreter that this copy of the package belongs to: each subinterpreter has a copy of its own."""

from __future__ import annotations

import sys
from typing import Any

from kthreads import lifecycle
from kthreads._native import ffi, lib

__all__ = ["ADDRESS", "CDATA", "IS_MAIN"]


def _state() -> Any:
    """The ``PyInterpreterState *``; NULL where the engine finds it. CPython 3.11 tells a thread's interpreter by the first
    one that the thread has entered."""
    if sys.version_info >= (3, 12):
        return ffi.NULL
    try:
        import _xxsubinterpreters as subinterpreters  # type: ignore[import-not-found]
    except ImportError:
        return ffi.NULL
    if subinterpreters.get_current() == subinterpreters.get_main():
        return ffi.NULL
    import ctypes

    get = ctypes.pythonapi.PyInterpreterState_Get
    get.restype = ctypes.c_void_p
    return ffi.cast("void *", get())


CDATA: Any = lib.kt_python_interpreter(_state())
"""The ``kt_interpreter *``."""
if CDATA == ffi.NULL:
    raise MemoryError("no memory for the record of an interpreter")
ADDRESS = int(ffi.cast("uintptr_t", CDATA))
"""The same as a number."""
IS_MAIN = bool(lib.kt_python_is_main(CDATA))
"""Whether it is the main interpreter. A subinterpreter can only end when no thread is left in it (Py_EndInterpreter)."""


@lifecycle.at_its_end.add
def close() -> None:
    """At its end: no thread enters it any more."""
    lib.kt_python_end(CDATA)
