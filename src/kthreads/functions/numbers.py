"""Numbers and characters as C arguments: converted and checked for their range."""

from __future__ import annotations

import operator
from typing import Any

from kthreads._native import ffi
from kthreads.functions.c_types import CType
from kthreads.functions.converter import Converter, type_name
from kthreads.integers import shown

__all__ = ["char_converter", "convert_bool", "double_converter", "float_converter", "integer_converter"]

_cast = ffi.cast


def integer_converter(ctype: CType) -> Converter:
    """The converter for a parameter that is an integer."""
    bits = 8 * ctype.size
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if ctype.signed else (0, (1 << bits) - 1)
    index = operator.index

    def convert(value: Any, keep: list[Any]) -> int:
        try:
            number = index(value)
        except TypeError:
            raise TypeError(f"{ctype.text} takes an int, not {type_name(value)}") from None
        if low <= number <= high:
            return number
        raise OverflowError(f"{shown(number)} is out of range for {ctype.text} ({low} to {high})")

    return convert


def double_converter(ctype: CType) -> Converter:
    """The converter for a parameter that is a double."""

    def convert(value: Any, keep: list[Any]) -> float:
        if not (hasattr(value, "__float__") or hasattr(value, "__index__")):
            raise TypeError(f"{ctype.text} takes a number, not {type_name(value)}")
        try:
            return float(value)
        except OverflowError:
            raise OverflowError(f"the integer is out of range for {ctype.text}") from None

    return convert


def float_converter(ctype: CType) -> Converter:
    """The converter for a parameter that is a float. A number that is too large becomes infinite, as in C and in cffi."""
    convert = double_converter(ctype)
    return lambda value, keep: float(_cast("float", convert(value, keep)))


def convert_bool(value: Any, keep: list[Any]) -> int:
    """The converter for a parameter that is a bool."""
    if getattr(getattr(value, "dtype", None), "kind", None) == "b":  # NumPy's bool has no __index__
        return int(bool(value))
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"bool takes True, False, 1 or 0, not {type_name(value)}") from None
    if number not in (0, 1):
        raise OverflowError(f"{shown(number)} is out of range for bool (0 or 1)")
    return number


def char_converter(ctype: CType) -> Converter:
    """The converter for a parameter that is a char."""

    def convert(value: Any, keep: list[Any]) -> int:
        if not isinstance(value, bytes) or len(value) != 1:
            raise TypeError(f"char takes bytes of length 1, not {type_name(value)}")
        return int.from_bytes(value, "little", signed=ctype.signed)

    return convert
