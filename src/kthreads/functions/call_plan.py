"""The plan of a call: how Python values fill a ``kt_call``, and how its result is read."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, cast

from kthreads._native import ffi, lib
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

__all__ = ["INTEGERS_AT", "CallPlan", "plan_of"]

_cast = ffi.cast

INTEGERS_AT = 8
"""The offset of `integers` in a ``kt_call``, in bytes. The floats follow them."""


class CallPlan:
    """How the arguments of one signature become a call, and how its result becomes a Python value.

    One compiled `struct` format packs the arguments and checks the ranges of most numbers. Values that `struct` cannot
    check go through a converter first. Where either fails, `NativeFunction.fill` converts all arguments again by the strict
    converters, whose exceptions say what is wrong.

    Attributes:
        signature: of the function.
        count: the number of its parameters.
        strict: a converter for each parameter, which checks all of a value.
        pack_into: writes words into memory, at an offset: of a ``kt_call``, at `INTEGERS_AT`.
        read: turns the 64 bits of a result into a Python value.
    """

    __slots__ = ("_convert", "_order", "count", "pack_into", "read", "signature", "strict")

    def __init__(self, signature: Signature) -> None:
        parameters = signature.parameters
        self.signature = signature
        self.count = len(parameters)
        self.strict: list[Converter] = [_strict(parameter) for parameter in parameters]
        quick = [_quick(parameter, strict) for parameter, strict in zip(parameters, self.strict, strict=True)]
        self._convert = [(number, convert) for number, convert in enumerate(quick) if convert is not None]
        integers = [number for number, parameter in enumerate(parameters) if parameter.kind != "float"]
        floats = [number for number, parameter in enumerate(parameters) if parameter.kind == "float"]
        order = [*integers, *floats]
        self._order: Callable[[Any], Any] | None = None if order == sorted(order) else itemgetter(*order)
        padding = 8 * (lib.KT_INTEGER_ARGUMENTS - len(integers)) if floats else 0
        codes = [_word(parameters[number]) for number in order]
        text = f"<{''.join(codes[: len(integers)])}{padding}x{''.join(codes[len(integers) :])}"
        self.pack_into = struct.Struct(text).pack_into
        self.read = _reader(signature.result)

    def words(self, args: Sequence[Any], keep: list[Any]) -> Sequence[Any]:
        """The words that `pack_into` takes, checked in all that it does not check itself."""
        if self._convert:
            args = list(args)
            for number, convert in self._convert:
                args[number] = convert(args[number], keep)
        return self.in_order(args)

    def in_order(self, words: Sequence[Any]) -> Sequence[Any]:
        """The words in the order that `pack_into` takes: integers and pointers first, then floats."""
        return words if self._order is None else cast("Sequence[Any]", self._order(words))


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


def _quick(ctype: CType, strict: Converter) -> Converter | None:
    """A converter that leaves to `struct` what that checks by itself; None where `struct` checks all."""
    if ctype.kind == "float" or (ctype.kind == "integer" and (ctype.size >= 4 or not ctype.signed)):
        return None
    if isinstance(strict, PointerConverter):
        return strict.quick()
    return strict


def _word(ctype: CType) -> str:
    """The `struct` format of an argument's word. Small integers are extended to 32 bits at least."""
    if ctype.kind == "float":
        return "d" if ctype.size == 8 else "f4x"
    if ctype.signed:
        return "i4x" if ctype.kind == "integer" and ctype.size == 4 else "q"
    return {1: "B7x", 2: "H6x", 4: "I4x", 8: "Q"}[ctype.size]


def _reader(ctype: CType) -> Callable[[int], Any]:
    """A function that turns the bits of a result into a Python value."""
    if ctype.kind == "void":
        return lambda bits: None
    if ctype.kind == "pointer":
        pointer = ffi.typeof("char *" if ctype.pointee is not None and ctype.pointee.kind == "char" else "void *")
        return lambda bits: _cast(pointer, bits)
    code = {"float": {4: "f", 8: "d"}, "bool": {1: "?"}, "char": {1: "c"}}.get(ctype.kind) or {
        size: code if ctype.signed else code.upper() for size, code in ((1, "b"), (2, "h"), (4, "i"), (8, "q"))
    }
    unpack = struct.Struct("<" + code[ctype.size]).unpack
    size = ctype.size
    mask = (1 << 8 * size) - 1
    return lambda bits: unpack((bits & mask).to_bytes(size, "little"))[0]
