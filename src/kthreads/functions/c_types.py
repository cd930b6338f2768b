"""C types, as far as a call needs to know them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

__all__ = ["VOID", "CType", "Prototype", "agree", "as_result", "disagreement", "function_type", "pointer_to"]

_ANYTHING = frozenset(["void", "opaque"])


@dataclass(frozen=True)
class CType:
    """A C type, as far as a call needs to know it.

    Attributes:
        kind: "void", "bool", "char", "integer", "float", "complex", "pointer", "function", "array" (while a declaration
            is parsed), or "opaque": a structure, a union, or a type of which only the name is known. A number of ctypes in
            the other byte order has a kind of its own, such as "swapped_i".
        size: in bytes; 0 where it is not known.
        signed: whether a number of this type has a sign.
        name: as C spells it; empty for pointers, functions and arrays.
        pointee: the type that a pointer points to; of an array, the type of its elements.
        const: whether the type itself is const, which matters for pointees; None where the source of the signature
            does not tell.
        prototype: the result and the parameters of a function.
    """

    kind: str
    size: int
    signed: bool
    name: str
    pointee: CType | None = None
    const: bool | None = None
    prototype: Prototype | None = None

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        return hash((self.kind, self.size, self.signed, self.name, self.pointee, self.const, self.prototype))

    @cached_property
    def text(self) -> str:
        """The type as C writes it, and as `declaration.parse` reads it."""
        return self._declare("")

    def _declare(self, inner: str) -> str:
        """The C declaration of `inner` as a thing of this type. `inner` grows from the inside out, as C declarators do."""
        if self.pointee is not None:
            star = "*const" if self.const else "*"
            inner = star + (" " if self.const and inner[:1] == "*" else "") + inner
            return self.pointee._declare(f"({inner})" if self.pointee.kind == "function" else inner)
        if self.prototype is not None:
            return self.prototype.result._declare(f"{inner}({self.prototype.texts})")
        base = f"const {self.name}" if self.const else self.name
        return f"{base}{' ' if inner.startswith(('*', '(*')) else ''}{inner}"

    def with_const(self, const: bool | None) -> CType:
        """The same type with another const."""
        if const is self.const:
            return self
        return CType(self.kind, self.size, self.signed, self.name, self.pointee, const, self.prototype)

    @cached_property
    def target(self) -> CType:
        """The type behind all levels of a pointer; for a type that is no pointer, the type itself."""
        return self if self.pointee is None else self.pointee.target

    @cached_property
    def depth(self) -> int:
        """The number of levels of a pointer: 2 for ``char **``, 0 for a type that is no pointer."""
        return 0 if self.pointee is None else 1 + self.pointee.depth

    @cached_property
    def nesting(self) -> int:
        """How deeply types are nested in this one, itself included."""
        inner = [] if self.prototype is None else [self.prototype.result, *self.prototype.parameters]
        return 1 + max((each.nesting for each in [self.pointee, *inner] if each is not None), default=0)

    @property
    def layout(self) -> tuple[str, int, bool]:
        """Kind, size in bytes and sign. An element in memory may stand for one of another type of the same layout."""
        return (self.kind, self.size, self.signed)

    @cached_property
    def abi(self) -> tuple[Any, ...]:
        """The type without its spelling: its layout, its const, and those of the types in it. A call ignores const."""
        name = self.name if self.kind == "opaque" else ""
        behind = None if self.pointee is None else self.pointee.abi
        return (self.layout, name, self.const, behind, None if self.prototype is None else self.prototype.abi)

    @property
    def is_byte(self) -> bool:
        """Whether it is one of the types that C uses for bytes and text: char, signed char or unsigned char."""
        return self.size == 1 and self.kind in ("char", "integer")


@dataclass(frozen=True)
class Prototype:
    """The result and the parameters that a declaration gives a function, whether kthreads can call it or not."""

    result: CType
    parameters: tuple[CType, ...]
    variable: bool
    """Whether any number of other arguments may follow: ``...``."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "result", as_result(self.result))

    @property
    def texts(self) -> str:
        """The text between the parentheses of its declaration."""
        return ", ".join([parameter.text for parameter in self.parameters] + ["..."] * self.variable) or "void"

    @property
    def abi(self) -> tuple[Any, ...]:
        """As `CType.abi`."""
        return (self.result.abi, *(parameter.abi for parameter in self.parameters), self.variable)


VOID = CType("void", 0, False, "void")


def function_type(result: CType, parameters: tuple[CType, ...], variable: bool) -> CType:
    """The type of a function."""
    return CType("function", 0, False, "", prototype=Prototype(result, parameters, variable))


def pointer_to(pointee: CType) -> CType:
    """The type of a pointer to this type."""
    return CType("pointer", 8, False, "", pointee)


def agree(mine: CType, theirs: CType) -> bool:
    """Whether a caller may pass a value of one type where a function takes or returns the other. Const does not matter."""
    if mine.depth == 0 or theirs.depth == 0:
        return mine.depth == theirs.depth and mine.layout == theirs.layout
    target, other = mine.target, theirs.target
    if target.kind in _ANYTHING or other.kind in _ANYTHING:
        return True
    if mine.depth != theirs.depth:
        return False
    if target.prototype is not None and other.prototype is not None:
        return disagreement(target.prototype, other.prototype) is None
    return target.layout == other.layout or (target.is_byte and other.is_byte)


def disagreement(mine: Prototype, theirs: Prototype) -> str | None:
    """Why a function of one type cannot be called as one of the other; None if it can."""
    if len(mine.parameters) != len(theirs.parameters):
        return f"it has {len(mine.parameters)} parameters, not {len(theirs.parameters)}"
    if mine.variable != theirs.variable:
        return f"it takes {'a variable' if mine.variable else 'a fixed'} number of arguments"
    if not agree(mine.result, theirs.result):
        return f"it returns {mine.result.text}, not {theirs.result.text}"
    for number, (parameter, other) in enumerate(zip(mine.parameters, theirs.parameters, strict=True), 1):
        if not agree(parameter, other):
            return f"parameter {number} is {parameter.text}, not {other.text}"
    return None


def as_result(ctype: CType) -> CType:
    """The type of a result. A pointer to a function becomes ``void *``: the declaration of a function that returns a
    pointer to a function is hard to read in C."""
    if ctype.pointee is not None and ctype.target.kind == "function":
        return pointer_to(replace(VOID, const=False))
    return ctype
