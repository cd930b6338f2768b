"""Signatures: the result and the parameters of a function that kthreads can call."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from kthreads._native import lib
from kthreads.functions.c_types import CType, as_result, function_type

__all__ = ["Signature", "variable_arguments"]


@dataclass(frozen=True)
class Signature:
    """The result and the parameters of a function whose arguments all fit in registers.

    Raises:
        TypeError: a type does not fit in one register, or there are too many parameters.
    """

    result: CType
    parameters: tuple[CType, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "result", as_result(self.result))
        _check_by_value(self.result, self)
        for parameter in self.parameters:
            _check_by_value(parameter, self)
            if parameter.kind == "void":
                raise TypeError(
                    f"a parameter of '{self}' is void, which is not a value: leave it out, or pass a pointer"
                )
        floats = sum(parameter.kind == "float" for parameter in self.parameters)
        for count, limit, what in (
            (len(self.parameters) - floats, lib.KT_INTEGER_ARGUMENTS, "integers and pointers"),
            (floats, lib.KT_FLOAT_ARGUMENTS, "floating numbers"),
        ):
            if count > limit:
                raise TypeError(
                    f"'{self}' takes {count} {what}; at most {limit} are supported, as many as there are registers: "
                    "put the arguments into a structure and pass a pointer to it"
                )

    @cached_property
    def text(self) -> str:
        """The canonical C text, const included."""
        return function_type(self.result, self.parameters, False).text

    def __str__(self) -> str:
        return self.text

    @cached_property
    def abi(self) -> tuple[Any, ...]:
        """The signature without its spelling: equal for two that mean the same."""
        return (self.result.abi, *(parameter.abi for parameter in self.parameters))

    def disagreement(self, other: Signature) -> str | None:
        """Why a function of this signature cannot be called as one of the other; None if it can. Const does not matter."""
        if len(self.parameters) != len(other.parameters):
            return f"it has {len(self.parameters)} parameters, not {len(other.parameters)}"
        if not _agree(self.result, other.result):
            return f"it returns {self.result.text}, not {other.result.text}"
        for number, (mine, theirs) in enumerate(zip(self.parameters, other.parameters, strict=True), 1):
            if not _agree(mine, theirs):
                return f"parameter {number} is {mine.text}, not {theirs.text}"
        return None


def _agree(mine: CType, theirs: CType) -> bool:
    """Whether a caller may pass a value of one type where a function takes or returns the other."""
    if mine.depth == 0 or theirs.depth == 0:
        return mine.depth == theirs.depth and mine.layout == theirs.layout
    anything = ("void", "opaque")
    if mine.target.kind in anything or theirs.target.kind in anything:
        return True
    if mine.depth != theirs.depth:
        return False
    return mine.target.layout == theirs.target.layout or (mine.target.is_byte and theirs.target.is_byte)


def _check_by_value(ctype: CType, signature: Signature) -> None:
    """Raises TypeError for a type that does not fit in one register, or that a call without the GIL must not touch."""
    where = f"in '{signature}'"
    if ctype.target.name in ("PyObject", "struct _object") or ctype.target.name.startswith("struct __pyx_obj_"):
        raise TypeError(
            f"{ctype.text} {where}: a function that handles Python objects needs the GIL, which a native call does not hold"
        )
    if ctype.kind == "complex" or (ctype.kind == "float" and ctype.size > 8):
        raise TypeError(f"{ctype.text} by value {where} does not fit in one register: pass a pointer to it")
    if ctype.kind in ("opaque", "function"):
        what = (
            "is a structure or union"
            if ctype.name.split()[0] in ("struct", "union")
            else "is not a C type that kthreads knows"
        )
        raise TypeError(
            f"{ctype.text} by value {where} {what}: pass a pointer to it, or write the plain type that it stands for"
        )


def variable_arguments(text: str) -> str:
    """The message for a function that takes any number of arguments, which kthreads cannot call."""
    return (
        f"{text!r} takes a variable number of arguments, which C passes in another way: "
        "wrap the function in a C function of fixed parameters"
    )
