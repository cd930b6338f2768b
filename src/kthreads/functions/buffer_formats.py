"""The formats of buffers (PEP 3118; Doc/library/struct), and which C types their items have."""

from __future__ import annotations

import re
import sys

from kthreads.functions.c_types import CType

__all__ = ["holds_objects", "is_pointee"]

# The kind and the sign of each format character. The size is the buffer's itemsize.
_FORMATS = dict.fromkeys("bhilqn", ("integer", True)) | dict.fromkeys("BHILQN", ("integer", False))
_FORMATS |= dict.fromkeys("fdg", ("float", True)) | dict.fromkeys(("Zf", "Zd", "Zg"), ("complex", True))
_FORMATS |= {"?": ("bool", False), "c": ("char", False), "P": ("pointer", False)}
_FORMATS |= dict.fromkeys("uw", ("integer", True))
_NATIVE_ORDERS = "@=<^" if sys.byteorder == "little" else "@=>!^"


def is_pointee(pointee: CType, text: str, size: int) -> bool:
    """Whether a pointer to this type may point to items of a buffer.

    Args:
        pointee: the type that the pointer points to.
        text: the buffer's format.
        size: of an item, in bytes.
    """
    order, code = (text[0], text[1:]) if text[:1] in tuple("@=<>!^") else ("@", text)
    if holds_objects(text):
        return False
    if pointee.kind in ("void", "opaque"):
        return True
    if order not in _NATIVE_ORDERS and size > 1:
        return False
    kind, signed = _FORMATS.get(code, ("", False))
    if pointee.is_byte:
        return size == 1 and kind in ("integer", "char")
    if code in ("u", "w"):
        return pointee.name in ("wchar_t", "char32_t") and size == pointee.size
    return (kind, size, signed) == pointee.layout


def holds_objects(text: str) -> bool:
    """Whether items of this format are references to Python objects, or have some in them.

    The names of fields stand between colons. Where a name has a colon in it, names and codes cannot be told apart, and
    every "O" counts.
    """
    without_names = re.sub(r":[^:]*:", "", text)
    return "O" in (text if ":" in without_names else without_names)
