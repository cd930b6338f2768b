"""What objects of NumPy, cffi and ctypes are known to point to, or to be made of."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from typing import Any

from kthreads._native import ffi

__all__ = ["holds_objects", "is_numpy_scalar", "memory_of_cffi", "memory_of_ctypes"]


def is_numpy_scalar(value: Any) -> bool:
    """Whether it is a number, or the like, of NumPy: as a buffer it shows memory of its own, or a copy. Structured ones
    are not among them: they show the memory of their array."""
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.generic) and not isinstance(value, (bytes, str, numpy.void))


def memory_of_cffi(value: Any) -> list[Any]:
    """The object that ``ffi.from_buffer`` has made an array of; cffi tells it to the garbage collector alone."""
    return [held for held in gc.get_referents(value) if not isinstance(held, type)]


def memory_of_ctypes(value: Any) -> list[bytes]:
    """The bytes that a pointer of ctypes points into, as far as it knows them."""
    held = value._objects
    candidates = held.values() if isinstance(held, dict) else [held]
    address = ctypes.cast(value, ctypes.c_void_p).value or 0
    return [
        each for each in candidates if isinstance(each, bytes) and 0 <= address - _address_of_bytes(each) <= len(each)
    ]


def _address_of_bytes(value: bytes) -> int:
    return int(ffi.cast("uintptr_t", ffi.from_buffer(value)))


def holds_objects(text: str) -> bool:
    """Whether items of this format (PEP 3118) are, or have in them, references to Python objects. The names of fields
    stand between colons."""
    return "O" in re.sub(r":[^:]*:", "", text)
