"""The element types of arrays: the names that Python, NumPy and the engine have for them."""

from __future__ import annotations

from typing import NamedTuple

from kthreads._native import lib

__all__ = ["ELEMENT_TYPES", "ElementType"]


class ElementType(NamedTuple):
    """The names of one element type."""

    code: str
    """The format character of the struct and array modules."""
    numpy: str
    """The name of NumPy's dtype."""
    kind: int
    """The engine's ``enum kt_item``."""


# By the layout of a C type. C's char is NumPy's bytes of length 1.
ELEMENT_TYPES = {("bool", 1, False): ElementType("B", "?", lib.KT_ITEM_BOOL)}
ELEMENT_TYPES |= {
    ("float", 4, True): ElementType("f", "f4", lib.KT_ITEM_FLOAT),
    ("float", 8, True): ElementType("d", "f8", lib.KT_ITEM_DOUBLE),
}
ELEMENT_TYPES |= {
    ("char", 1, True): ElementType("b", "S1", lib.KT_ITEM_INT8),
    ("char", 1, False): ElementType("B", "S1", lib.KT_ITEM_UINT8),
}
ELEMENT_TYPES |= {
    ("integer", size, signed): ElementType(
        code if signed else code.upper(),
        f"{'i' if signed else 'u'}{size}",
        getattr(lib, f"KT_ITEM_{'' if signed else 'U'}INT{8 * size}"),
    )
    for size, code in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))
    for signed in (True, False)
}
