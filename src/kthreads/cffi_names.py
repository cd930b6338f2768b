"""The names by which cffi knows the engine: its C types, and the functions of `lib`.

cffi makes each of them when it is first used. On a free-threaded build cffi 2.1 crashes when two threads use one for the first
time: it makes them under a lock of CPython that a thread gives up whenever it waits for another lock. So all are made there
when kthreads is imported. A forked child also has no use for that lock then, which a thread of its parent may have held.
"""

from __future__ import annotations

import sys

from kthreads._native import ffi, lib

__all__ = ["make_all"]


def make_all() -> None:
    """Makes the types and functions that cffi has not made yet."""
    for name in ffi.list_types()[0]:
        ctype, _ = ffi.typeof(name), ffi.typeof(f"{name} *")
        if ctype.kind == "struct" and _is_complete(ctype):
            _ = ctype.fields
    for name in dir(lib):
        getattr(lib, name)


def _is_complete(ctype: object) -> bool:
    try:
        ffi.sizeof(ctype)
    except (ffi.error, ValueError):
        return False
    return True


if "t" in sys.abiflags:  # a free-threaded build
    make_all()
