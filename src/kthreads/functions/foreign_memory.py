"""Values of NumPy, cffi and ctypes: what kind of value each is, and which objects own the memory that it points to.

A pointer may point into memory that must not be written to, such as that of bytes. cffi and ctypes keep the
owners in undocumented places, in which this file looks.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from typing import Any

from kthreads._native import ffi

__all__ = [
    "CFFIBuffer", "CTypesData", "CTypesFunction", "CTypesReference", "address_of_ctypes", "is_numpy_scalar", "is_read_only",
    "memory_of_buffer", "memory_of_cffi", "memory_of_ctypes",
]  # fmt: skip

CFFIBuffer: Any = ffi.buffer
CTypesData: Any = ctypes.c_int.__mro__[-2]  # _ctypes._CData, the base of all values of ctypes
CTypesFunction: Any = ctypes._CFuncPtr  # type: ignore[attr-defined]
CTypesReference: Any = type(ctypes.byref(ctypes.c_int()))
_FromBuffer: Any = type(ffi.from_buffer(b""))
_BYTES = ffi.typeof("char[]")


def is_numpy_scalar(value: Any) -> bool:
    """Whether it is a scalar of NumPy. The buffer of such a scalar is memory of its own, or a copy; only the buffer of a
    structured scalar is the memory of its array, and so a structured scalar does not count as one here."""
    generic = getattr(sys.modules.get("numpy"), "generic", ())
    return isinstance(value, generic) and not isinstance(value, (bytes, str, sys.modules["numpy"].void))


def memory_of_cffi(value: Any) -> list[Any]:
    """The object whose memory a value of cffi is, if ``ffi.from_buffer`` made the value. cffi shows that object to the
    garbage collector alone."""
    if type(value) is not _FromBuffer:
        return []
    return [held for held in gc.get_referents(value) if not isinstance(held, type)]


def memory_of_buffer(view: memoryview) -> list[Any]:
    """The same for a view of an ``ffi.buffer``, which says that it is writable whatever its memory is."""
    if type(view.obj) is not CFFIBuffer:
        return []
    return [memory for shown in gc.get_referents(view.obj) for memory in memory_of_cffi(shown)]


def memory_of_ctypes(value: Any, address: int) -> list[bytes]:
    """The bytes objects that an address lies in, as far as ctypes knows them.

    Args:
        value: of ctypes. A pointer holds the objects that it was made from; other values may be parts of larger ones,
            which hold theirs.
        address: where it points to, or where it lies.
    """
    owner = value._obj if type(value) is CTypesReference else value
    is_pointer = owner is value and not isinstance(value, (ctypes.Array, ctypes.Structure, ctypes.Union))
    waiting = [owner if is_pointer else owner._b_base_]
    found: list[bytes] = []
    seen: set[int] = set()  # structures that point to each other hold each other
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


def address_of_ctypes(value: Any) -> int:
    """The address that a pointer or a function of ctypes holds; 0 for NULL."""
    return ctypes.cast(value, ctypes.c_void_p).value or 0


def is_read_only(memory: Any) -> bool:
    """Whether the memory of an object, which a value of cffi points to, must not be written to."""
    try:
        ffi.from_buffer(_BYTES, memory, require_writable=True)
    except (BufferError, ValueError):
        return True
    except TypeError:
        # For an object of a class with __buffer__ (CPython 3.12), cffi holds an object that holds its view.
        return any(isinstance(held, memoryview) and held.readonly for held in gc.get_referents(memory))
    return False
