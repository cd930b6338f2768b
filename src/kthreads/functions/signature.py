"""C signatures: what a native function takes and returns, as far as a call needs to know it."""

from __future__ import annotations

import ctypes
import platform
import re
import sys
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

from kthreads._native import ffi, lib

_WIDE_CHARACTERS = frozenset(["wchar_t", "char16_t", "char32_t"])
_COMPLEX = {"_cffi_float_complex_t": "float _Complex", "_cffi_double_complex_t": "double _Complex"}


@dataclass(frozen=True)
class CType:
    """A C type, as far as a call needs to know it.

    `kind` is "void", "bool", "char", "integer", "float", "complex", "pointer", "function" or "opaque" (a structure,
    or a type that is only known by name); `size` is in bytes, 0 where it is not known. `pointee` is the type that a
    pointer points to. `const` says whether the type itself is const, which matters for pointees; None where the
    source of the signature does not tell.
    """

    kind: str
    size: int
    signed: bool
    name: str
    pointee: CType | None = None
    const: bool | None = None
    prototype: Prototype | None = None  # of a function

    @cached_property
    def text(self) -> str:
        """The type as C writes it, and as `parse` reads it."""
        return self._declare("")

    def _declare(self, inner: str) -> str:
        """The declaration of what is declared by `inner`, from the inside out, as of this type."""
        if self.pointee is not None:
            star = "*const" if self.const else "*"
            inner = star + (" " if self.const and inner[:1] == "*" else "") + inner
            return self.pointee._declare(f"({inner})" if self.pointee.kind == "function" else inner)
        if self.prototype is not None:
            return self.prototype.result._declare(f"{inner}({self.prototype.texts})")
        base = f"const {self.name}" if self.const else self.name
        return f"{base}{' ' if inner.startswith(('*', '(*')) else ''}{inner}"

    @cached_property
    def target(self) -> CType:
        """What is found behind all levels of a pointer; the type itself if it is none."""
        return self if self.pointee is None else self.pointee.target

    @cached_property
    def depth(self) -> int:
        """How many levels of pointers it is."""
        return 0 if self.pointee is None else 1 + self.pointee.depth

    @cached_property
    def nesting(self) -> int:
        """How many types are in each other, this one included."""
        inner = [] if self.prototype is None else [self.prototype.result, *self.prototype.parameters]
        return 1 + max((each.nesting for each in [self.pointee, *inner] if each is not None), default=0)

    @property
    def layout(self) -> tuple[str, int, bool]:
        """What must agree for an item in memory to be taken for one of this type: kind, size in bytes, sign."""
        return (self.kind, self.size, self.signed)

    @cached_property
    def abi(self) -> tuple[Any, ...]:
        """The type without its spelling: layouts, levels of pointers, and const, which a call does not look at."""
        name = self.name if self.kind == "opaque" else ""
        behind = None if self.pointee is None else self.pointee.abi
        return (self.layout, name, self.const, behind, None if self.prototype is None else self.prototype.abi)

    @property
    def is_byte(self) -> bool:
        """Whether it is one of the types that C uses for bytes and text: char, signed or not."""
        return self.size == 1 and self.kind in ("char", "integer")


@dataclass(frozen=True)
class Prototype:
    """What a declaration says of a function, callable by us or not."""

    result: CType
    parameters: tuple[CType, ...]
    variable: bool

    def __post_init__(self) -> None:
        object.__setattr__(self, "result", _plain_result(self.result))

    @property
    def texts(self) -> str:
        """What stands between its parentheses."""
        return ", ".join([parameter.text for parameter in self.parameters] + ["..."] * self.variable) or "void"

    @property
    def abi(self) -> tuple[Any, ...]:
        """As of CType."""
        return (self.result.abi, *(parameter.abi for parameter in self.parameters), self.variable)


VOID = CType("void", 0, False, "void")
_CHAR_SIGNED = platform.machine() == "x86_64"  # not on aarch64; cffi does not tell


def function_type(result: CType, parameters: tuple[CType, ...], variable: bool) -> CType:
    return CType("function", 0, False, "", prototype=Prototype(result, parameters, variable))


def pointer_to(pointee: CType) -> CType:
    """The type of a pointer to this type."""
    return CType("pointer", 8, False, "", pointee)


def _plain_result(result: CType) -> CType:
    """The type of a result, but that a pointer to a function is one to void: C's way to write that is not worth reading."""
    return (
        pointer_to(replace(VOID, const=False))
        if result.pointee is not None and result.target.kind == "function"
        else result
    )


@dataclass(frozen=True)
class Signature:
    """The result and the parameters of a function that a call can fill registers for.

    Raises:
        TypeError: a type does not travel in one register, or there are too many parameters.
    """

    result: CType
    parameters: tuple[CType, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "result", _plain_result(self.result))
        _check_by_value(self.result, self)
        for parameter in self.parameters:
            _check_by_value(parameter, self)
            if parameter.kind == "void":
                raise TypeError(f"a parameter of '{self}' is void, which is no value: leave it out, or pass a pointer")
        floats = sum(parameter.kind == "float" for parameter in self.parameters)
        for count, limit, what in (
            (len(self.parameters) - floats, lib.KT_INTEGER_ARGUMENTS, "integers and pointers"),
            (floats, lib.KT_FLOAT_ARGUMENTS, "floating numbers"),
        ):
            if count > limit:
                raise TypeError(
                    f"'{self}' takes {count} {what}; at most {limit} are supported, which is what registers carry: "
                    "put the arguments into a structure and pass a pointer to it"
                )

    @cached_property
    def text(self) -> str:
        """The canonical C text, const included."""
        return CType("function", 0, False, "", prototype=Prototype(self.result, self.parameters, False)).text

    def __str__(self) -> str:
        return self.text

    @cached_property
    def abi(self) -> tuple[Any, ...]:
        """What two signatures of the same meaning have in common, however their types are spelled."""
        return (self.result.abi, *(parameter.abi for parameter in self.parameters))

    def disagreement(self, other: Signature) -> str | None:
        """Why a function of this signature cannot be called by the other; None if it can. Const does not matter."""
        if len(self.parameters) != len(other.parameters):
            return f"it has {len(self.parameters)} parameters, not {len(other.parameters)}"
        if not _agree(self.result, other.result):
            return f"it returns {self.result.text}, not {other.result.text}"
        for number, (mine, theirs) in enumerate(zip(self.parameters, other.parameters, strict=True), 1):
            if not _agree(mine, theirs):
                return f"parameter {number} is {mine.text}, not {theirs.text}"
        return None


def _agree(mine: CType, theirs: CType) -> bool:
    if mine.depth == 0 or theirs.depth == 0:
        return mine.depth == theirs.depth and mine.layout == theirs.layout
    anything = ("void", "opaque")
    if mine.target.kind in anything or theirs.target.kind in anything:
        return True
    if mine.depth != theirs.depth:
        return False
    return mine.target.layout == theirs.target.layout or (mine.target.is_byte and theirs.target.is_byte)


def _check_by_value(ctype: CType, signature: Signature) -> None:
    where = f"in '{signature}'"
    if ctype.target.name in ("PyObject", "struct _object") or ctype.target.name.startswith("struct __pyx_obj_"):
        raise TypeError(
            f"{ctype.text} {where}: a function that handles Python objects needs the GIL, which a native call does not hold"
        )
    if ctype.kind == "complex" or (ctype.kind == "float" and ctype.size > 8):
        raise TypeError(f"{ctype.text} by value {where} does not travel in one register: pass a pointer to it")
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
    """Why a function that takes any number of arguments cannot be called."""
    return (
        f"{text!r} takes a variable number of arguments, which travel in another way: "
        "wrap the function in a C function of fixed parameters"
    )


# ---- From cffi's types ---------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def from_cffi_function(ctype: Any) -> Signature:
    """The signature of a cffi function type; it does not tell const.

    Raises:
        TypeError: a call cannot be made of it; the message says why.
    """
    if ctype.ellipsis:
        raise TypeError(variable_arguments(ctype.cname))
    return Signature(from_cffi(ctype.result), tuple(map(from_cffi, ctype.args)))


def from_cffi(ctype: Any, const: bool | None = None) -> CType:
    """The type that cffi describes."""
    kind, name = ctype.kind, ctype.cname
    if kind == "void":
        return CType("void", 0, False, "void", const=const)
    if kind == "pointer":
        return CType("pointer", 8, False, "", _element(ctype.item), const)
    if kind == "array":
        return pointer_to(_element(ctype))
    if kind == "function":
        return pointer_to(function_type(from_cffi(ctype.result), tuple(map(from_cffi, ctype.args)), ctype.ellipsis))
    if kind in ("primitive", "enum"):
        return _primitive(ctype, name, const)
    return CType("opaque", 0, False, name, const=const)


def _element(ctype: Any) -> CType:
    """What a pointer to it points to; an array counts as its elements."""
    return _element(ctype.item) if ctype.kind == "array" else from_cffi(ctype)


def _primitive(ctype: Any, name: str, const: bool | None) -> CType:
    size = ffi.sizeof(ctype)
    if name in ("float", "double", "long double"):
        return CType("float", size, True, name, const=const)
    if name in _COMPLEX:
        return CType("complex", size, True, _COMPLEX[name], const=const)
    if name == "_Bool":
        return CType("bool", size, False, "bool", const=const)
    if name == "char":
        return CType("char", size, _CHAR_SIGNED, name, const=const)
    minus_one = ffi.cast(ctype, -1)
    signed = int(ffi.cast("int64_t", minus_one) if name in _WIDE_CHARACTERS else minus_one) < 0
    if ctype.kind == "enum":  # whose name means nothing elsewhere
        name = f"{'' if signed else 'unsigned '}{'int' if size == ffi.sizeof('int') else 'long'}"
    return CType("integer", size, signed, name, const=const)


# ---- From ctypes' types --------------------------------------------------------------------------------------------

_CODES = {
    "c": "char", "b": "signed char", "B": "unsigned char", "h": "short", "H": "unsigned short", "i": "int",
    "I": "unsigned int", "l": "long", "L": "unsigned long", "q": "long long", "Q": "unsigned long long", "f": "float",
    "d": "double", "g": "long double", "?": "bool", "u": "wchar_t", "P": "void *", "z": "char *", "Z": "wchar_t *",
    "O": "PyObject *",
}  # fmt: skip
_NATIVE_ORDER = f"__ctype_{sys.byteorder[0]}e__"  # the attribute that leads from a number's type to the native one


@lru_cache(maxsize=1024)
def from_ctypes(kind: Any) -> CType:
    """The type that a ctypes class stands for; an array counts as its elements. None is void, as for restype."""
    if kind is None:
        return VOID
    code = getattr(kind, "_type_", None)
    if getattr(kind, _NATIVE_ORDER, kind) is not kind:
        return CType("opaque", 0, False, f"swapped_{code}")
    if isinstance(code, str) and code in _CODES:
        name = _CODES[code]
        if name == "PyObject *":
            return pointer_to(CType("opaque", 0, False, "PyObject"))
        return from_cffi(ffi.typeof(name))
    if isinstance(code, type) and issubclass(kind, ctypes.Array):
        return from_ctypes(code)
    if isinstance(code, type):
        return pointer_to(from_ctypes(code))
    if isinstance(kind, type) and issubclass(kind, ctypes._CFuncPtr):  # type: ignore[attr-defined]
        restype, argtypes = getattr(kind, "_restype_", None), getattr(kind, "_argtypes_", ())
        return pointer_to(function_type(from_ctypes(restype), tuple(map(from_ctypes, argtypes)), False))
    name = re.sub(r"\W", "_", getattr(kind, "__name__", str(kind)), flags=re.ASCII)
    return CType("opaque", 0, False, f"struct {name}")
