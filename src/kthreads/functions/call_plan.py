"""The plan of a call: how Python values become the words of a ``kt_call``, and how its result is read."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from kthreads import _call
from kthreads._native import ffi
from kthreads.functions.c_types import CType
from kthreads.functions.converter import Converter
from kthreads.functions.numbers import (
    char_converter,
    convert_bool,
    double_converter,
    float_converter,
    integer_converter,
)
from kthreads.functions.pointers import PointerConverter
from kthreads.functions.signature import Signature

__all__ = ["CallPlan", "plan_of"]

_CODES = {"void": "v", "bool": "?", "pointer": "P"}
_INTEGERS = {1: "b", 2: "h", 4: "i", 8: "q"}


class CallPlan(_call.Plan):
    """How the arguments of one signature become a call, and how its result becomes a Python value.

    The base class is in C. It converts the usual values, and asks `NativeFunction.convert` for all others.

    Attributes:
        strict: a converter for each parameter, which checks all of a value.
        read: turns the 64 bits of a result into a Python value.
    """

    __slots__ = ("strict",)

    def __init__(self, signature: Signature) -> None:
        self.strict: list[Converter] = [_strict(parameter) for parameter in signature.parameters]
        codes = "".join(map(_code, signature.parameters))
        flags = bytes(each.flags if isinstance(each, PointerConverter) else 0 for each in self.strict)
        super().__init__(codes, flags, _code(signature.result), _pointer_type(signature.result))


plan_of = lru_cache(maxsize=1024)(CallPlan)
"""The plan for a signature; functions of one signature share it."""


def _strict(ctype: CType) -> Converter:
    """The converter for a parameter of this type, which checks all of a value."""
    if ctype.kind == "integer":
        return integer_converter(ctype)
    if ctype.kind == "float":
        return float_converter(ctype) if ctype.size == 4 else double_converter(ctype)
    if ctype.kind == "bool":
        return convert_bool
    if ctype.kind == "char":
        return char_converter(ctype)
    return PointerConverter(ctype)


def _code(ctype: CType) -> str:
    """The letter that a type has in a plan: that of the struct module, "P" for a pointer, "v" for void."""
    if ctype.kind == "integer":
        code = _INTEGERS[ctype.size]
        return code if ctype.signed else code.upper()
    if ctype.kind == "float":
        return "d" if ctype.size == 8 else "f"
    if ctype.kind == "char":
        return "c" if ctype.signed else "C"
    return _CODES[ctype.kind]


def _pointer_type(ctype: CType) -> Any:
    """The type of cffi that a returned pointer has; None for other results."""
    if ctype.pointee is None:
        return None
    return ffi.typeof("char *" if ctype.pointee.kind == "char" else "void *")
