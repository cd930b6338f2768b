"""Signatures: the result and the parameters of a function that kthreads can call."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from kthreads._native import lib
from kthreads.functions.c_types import CType, Prototype, as_result, disagreement, function_type

__all__ = ["Signature", "signature_of", "variable_arguments"]

_ALWAYS_FIT = frozenset(["void", "bool", "char", "integer"])


@dataclass(frozen=True)
class Signature:
    """The result and the parameters of a function whose arguments each fit in one register.

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
        if (count := len(self.parameters)) > lib.KT_ARGUMENTS:
            raise TypeError(
                f"'{self}' takes {count} arguments; at most {lib.KT_ARGUMENTS} are supported: "
                "put the arguments into a structure and pass a pointer to it"
            )

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.result, self.parameters))

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

    @property
    def prototype(self) -> Prototype:
        return Prototype(self.result, self.parameters, False)

    def disagreement(self, other: Signature) -> str | None:
        """Why a function of this signature cannot be called as one of the other; None if it can. Const does not matter."""
        return disagreement(self.prototype, other.prototype)


signature_of = lru_cache(maxsize=1024)(Signature)
"""The signature of a result and parameters, made once."""


def _check_by_value(ctype: CType, signature: Signature) -> None:
    """Raises TypeError for a type that does not fit in one register, or that a call without the GIL must not touch."""
    if ctype.kind in _ALWAYS_FIT or (ctype.kind == "float" and ctype.size <= 8):
        return
    name = ctype.target.name
    if name in ("PyObject", "struct _object") or name.startswith("struct __pyx_obj_"):
        raise TypeError(
            f"{ctype.text} in '{signature}': a function that handles Python objects needs the GIL, which a native call "
            "does not hold"
        )
    if ctype.kind == "pointer":
        return
    by_value = f"{ctype.text} by value in '{signature}'"
    if ctype.kind in ("complex", "float"):
        raise TypeError(f"{by_value} does not fit in one register: pass a pointer to it")
    is_record = name.split()[0] in ("struct", "union") if name else False
    what = "is a structure or union" if is_record else "is not a C type that kthreads knows"
    raise TypeError(f"{by_value} {what}: pass a pointer to it, or write the plain type that it stands for")


def variable_arguments(text: str) -> str:
    """The message for a function that takes any number of arguments, which kthreads cannot call."""
    return (
        f"{text!r} takes a variable number of arguments, which C passes in another way: "
        "wrap the function in a C function of fixed parameters"
    )
