"""Numbers in memory: what the items of arrays are called by Python, NumPy and the engine."""

from __future__ import annotations

from typing import NamedTuple

from kthreads._native import lib

__all__ = ["ITEMS", "Item"]


class Item(NamedTuple):
    """One type of number."""

    code: str
    """Of the struct and array modules."""
    numpy: str
    """NumPy's name."""
    kind: int
    """The engine's ``enum kt_item``."""


# By the layout of a C type. C's char is NumPy's bytes of length 1.
ITEMS = {("bool", 1, False): Item("B", "?", lib.KT_ITEM_BOOL)}
ITEMS |= {
    ("float", 4, True): Item("f", "f4", lib.KT_ITEM_FLOAT),
    ("float", 8, True): Item("d", "f8", lib.KT_ITEM_DOUBLE),
}
ITEMS |= {
    ("char", 1, True): Item("b", "S1", lib.KT_ITEM_INT8),
    ("char", 1, False): Item("B", "S1", lib.KT_ITEM_UINT8),
}
ITEMS |= {
    ("integer", size, signed): Item(
        code if signed else code.upper(),
        f"{'i' if signed else 'u'}{size}",
        getattr(lib, f"KT_ITEM_{'' if signed else 'U'}INT{8 * size}"),
    )
    for size, code in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))
    for signed in (True, False)
}
