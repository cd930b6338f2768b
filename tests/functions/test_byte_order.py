"""Memory of ctypes and NumPy in the other byte order is none that C reads as numbers."""

from __future__ import annotations

import ctypes
import sys

import numpy as np
import pytest

import kthreads


def taking(parameter: str) -> kthreads.NativeFunction:
    """A function that is bound, never run."""
    return kthreads.native(1, f"void({parameter})")


OTHER = "__ctype_be__" if sys.byteorder == "little" else "__ctype_le__"


@pytest.mark.parametrize("parameter", ["int *", "const int *", "int **", "unsigned *", "float *"])
@pytest.mark.parametrize(
    "make",
    [
        lambda kind: (kind * 2)(),
        lambda kind: ctypes.byref(kind()),
        lambda kind: ctypes.pointer(kind()),
        lambda kind: ctypes.pointer(ctypes.pointer(kind())),
        lambda kind: (ctypes.POINTER(kind) * 2)(),
        lambda kind: memoryview((kind * 2)()),
        lambda kind: np.array([1, 2], ">i4" if sys.byteorder == "little" else "<i4"),
    ],
    ids=["array", "byref", "pointer", "pointer to pointer", "pointers", "memoryview", "numpy"],
)
def test_numbers_in_the_other_byte_order_are_refused(parameter, make):
    with pytest.raises(TypeError, match="does not take"):
        taking(parameter).bind((make(getattr(ctypes.c_int, OTHER)),))


def test_memory_in_the_other_byte_order_may_be_passed_as_bytes_or_as_a_structure():
    Header = type("Header", (ctypes.BigEndianStructure,), {"_fields_": [("length", ctypes.c_int)]})
    taking("const void *").bind(((getattr(ctypes.c_int, OTHER) * 2)(),))
    taking("struct header *").bind((ctypes.byref(Header()),))
