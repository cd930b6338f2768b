"""What objects of NumPy, cffi and ctypes are known to point to, or to be made of."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from typing import Any

from kthreads._native import ffi

__all__ = [
    "CFFIBuffer", "CTypesData", "CTypesReference", "holds_objects", "is_numpy_scalar", "is_read_only",
    "memory_of_buffer", "memory_of_cffi", "memory_of_ctypes",
]  # fmt: skip

CFFIBuffer: Any = ffi.buffer
CTypesData: Any = ctypes.c_int.__mro__[-2]  # _ctypes._CData, the base of all values of ctypes
CTypesReference: Any = type(ctypes.byref(ctypes.c_int()))
_FromBuffer: Any = type(ffi.from_buffer(b""))
_BYTES = ffi.typeof("char[]")


def is_numpy_scalar(value: Any) -> bool:
    """Whether it is a number, or the like, of NumPy: as a buffer it shows memory of its own, or a copy. Structured ones
    are not among them: they show the memory of their array."""
    generic = getattr(sys.modules.get("numpy"), "generic", ())
    return isinstance(value, generic) and not isinstance(value, (bytes, str, sys.modules["numpy"].void))


# ---- Whose memory it is ----------------------------------------------------------------------------------------------


def memory_of_cffi(value: Any) -> list[Any]:
    """The object that ``ffi.from_buffer`` has made it of, if that has; cffi tells it to the garbage collector alone."""
    if type(value) is not _FromBuffer:
        return []
    return [held for held in gc.get_referents(value) if not isinstance(held, type)]


def memory_of_buffer(view: memoryview) -> list[Any]:
    """The same for what ``ffi.buffer`` shows, which is always said to be writable."""
    if type(view.obj) is not CFFIBuffer:
        return []
    return [memory for shown in gc.get_referents(view.obj) for memory in memory_of_cffi(shown)]


def memory_of_ctypes(value: Any, address: int) -> list[bytes]:
    """The bytes that an address lies in that a value of ctypes gives, as far as ctypes knows them: what a pointer was
    made from, or what holds the memory that a value is a part of."""
    owner = value._obj if type(value) is CTypesReference else value
    is_pointer = owner is value and not isinstance(value, (ctypes.Array, ctypes.Structure, ctypes.Union))
    waiting = [owner if is_pointer else owner._b_base_]
    found: list[bytes] = []
    seen: set[int] = set()  # records that point at each other hold each other
    while waiting:
        held = waiting.pop()
        if id(held) in seen:
            continue
        seen.add(id(held))
        if isinstance(held, dict):
            waiting.extend(held.values())
        elif isinstance(held, CTypesData):
            waiting += [held._objects, held._b_base_]
        elif isinstance(held, bytes) and 0 <= address - _address_of_bytes(held) <= len(held):
            found.append(held)
    return found


def _address_of_bytes(value: bytes) -> int:
    return int(ffi.cast("uintptr_t", ffi.from_buffer(value)))


def is_read_only(memory: Any) -> bool:
    """Whether an object that cffi has the memory of does not let it be written to."""
    try:
        ffi.from_buffer(_BYTES, memory, require_writable=True)
    except (BufferError, ValueError):
        return True
    except TypeError:  # of a class with __buffer__ (CPython 3.12) cffi has not the object, but what holds its view
        return any(isinstance(held, memoryview) and held.readonly for held in gc.get_referents(memory))
    return False


# ---- What its format says --------------------------------------------------------------------------------------------


def holds_objects(text: str) -> bool:
    """Whether items of this format (PEP 3118) are, or have in them, references to Python objects. The names of fields
    stand between colons; where one has a colon itself, nobody knows which is which."""
    without_names = re.sub(r":[^:]*:", "", text)
    return "O" in (text if ":" in without_names else without_names)
