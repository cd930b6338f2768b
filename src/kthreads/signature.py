"""C signatures: what a native function takes and returns, as far as a call needs to know it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kthreads._native import ffi, lib

_QUALIFIER = re.compile(r"\b(const|volatile|restrict|__restrict|register)\b")
_FLOATS = ("float", "double")
_WIDE_CHARACTERS = ("wchar_t", "char16_t", "char32_t")


@dataclass(frozen=True)
class CType:
    """A C type that a register can carry.

    `kind` is "void", "bool", "char", "integer", "float" or "pointer"; `size` is in bytes. `pointee` is None for a
    pointer to something opaque (void, a structure, a function). `const` says of a pointer whether the pointee is
    const; None where the source of the signature does not tell.
    """

    kind: str
    size: int
    signed: bool
    text: str
    pointee: CType | None = None
    const: bool | None = None
    is_void_pointer: bool = False

    @property
    def abi(self) -> tuple[Any, ...]:
        """What must agree for two types to be called alike."""
        if self.kind == "pointer":
            return ("pointer",)
        return (self.kind, self.size, self.signed)


VOID = CType("void", 0, False, "void")


@dataclass(frozen=True)
class Signature:
    """The result and the parameters of a function."""

    result: CType
    parameters: tuple[CType, ...]

    def __str__(self) -> str:
        return f"{self.result.text}({', '.join(parameter.text for parameter in self.parameters) or 'void'})"

    @property
    def abi(self) -> tuple[Any, ...]:
        """What must agree for two functions to be called alike."""
        return (self.result.abi, *(parameter.abi for parameter in self.parameters))

    def __post_init__(self) -> None:
        floats = sum(parameter.kind == "float" for parameter in self.parameters)
        others = len(self.parameters) - floats
        for count, limit, what in (
            (others, lib.KT_INTEGER_ARGUMENTS, "integers and pointers"),
            (floats, lib.KT_FLOAT_ARGUMENTS, "floating numbers"),
        ):
            if count > limit:
                raise TypeError(
                    f"{self} takes {count} {what}; at most {limit} are supported, which is what registers carry: "
                    "pass a pointer to a structure of the arguments"
                )


# ---- From cffi's types ---------------------------------------------------------------------------------------------


def from_cffi(ctype: Any, const: bool | None = None) -> CType:
    """The type that cffi describes; TypeError for one that no register carries."""
    kind, text = ctype.kind, ctype.cname
    if kind == "void":
        return VOID
    if kind in {"pointer", "array"}:
        return pointer_to(ctype.item, const)
    if kind == "function":
        return CType("pointer", 8, False, text, None, const)
    if kind == "enum":
        signed = int(ffi.cast(ctype, -1)) < 0
        return CType("integer", ffi.sizeof(ctype), signed, text)
    if kind != "primitive":
        raise TypeError(f"{text} by value is not supported: pass a pointer to it")
    return _primitive(ctype, text)


def _primitive(ctype: Any, text: str) -> CType:
    size = ffi.sizeof(ctype)
    if text in _FLOATS:
        return CType("float", size, True, text)
    if "omplex" in text or text == "long double":
        raise TypeError(f"{text} by value is not supported: it does not travel in one register; pass a pointer to it")
    if text == "_Bool":
        return CType("bool", size, False, "bool")
    if text == "char":
        return CType("char", size, int(ffi.cast("int", ffi.cast("char", -1))) < 0, text)
    if text in _WIDE_CHARACTERS:
        return CType("integer", size, int(ffi.cast("int64_t", ffi.cast(text, -1))) < 0, text)
    return CType("integer", size, int(ffi.cast(ctype, -1)) < 0, text)


def pointer_to(item: Any, const: bool | None) -> CType:
    """A pointer to what cffi describes."""
    pointee: CType | None = None
    if item.kind in ("primitive", "enum", "pointer") and "omplex" not in item.cname and item.cname != "long double":
        pointee = from_cffi(item)
    qualifier = "const " if const else ""
    return CType("pointer", 8, False, f"{qualifier}{item.cname} *", pointee, const, item.kind == "void")


def from_cffi_function(ctype: Any) -> Signature:
    """The signature of a cffi function (pointer) type; it does not tell const."""
    if ctype.kind == "pointer":
        ctype = ctype.item
    if ctype.kind != "function":
        raise TypeError(f"{ctype.cname} is not a function")
    if ctype.ellipsis:
        raise TypeError(
            f"{ctype.cname} takes a variable number of arguments, which is not supported: wrap it in a C function"
        )
    return Signature(from_cffi(ctype.result), tuple(from_cffi(argument) for argument in ctype.args))


# ---- From text -----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1024)
def parse(text: str) -> Signature:
    """The signature that a C declaration gives, such as ``double(int, const double *)``; names are optional.

    Raises:
        TypeError: it is no function, or one that cannot be called; the message says why.
    """
    head, parameters = _split(text)
    return Signature(_parse_type(head, text), tuple(_parse_type(parameter, text) for parameter in parameters))


def _split(text: str) -> tuple[str, list[str]]:
    """What comes before the parameter list, and the parameters."""
    body = text.strip().rstrip(";").strip()
    depth, begin = 0, -1
    for at in range(len(body) - 1, -1, -1):
        depth += {")": 1, "(": -1}.get(body[at], 0)
        if depth == 0:
            begin = at
            break
    if not body.endswith(")") or begin <= 0:
        raise TypeError(f"{text!r} is not a C function: write it like 'double(int, const double *)'")
    head = re.sub(r"\(\s*\*\s*\w*\s*\)\s*$", "", body[:begin]).strip()
    parameters = [parameter.strip() for parameter in _split_commas(body[begin + 1 : -1])]
    return head, [] if parameters in ([""], ["void"]) else parameters


def _split_commas(text: str) -> list[str]:
    parts, depth, begin = [], 0, 0
    for at, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append(text[begin:at])
            begin = at + 1
    return [*parts, text[begin:]]


def _parse_type(text: str, whole: str) -> CType:
    if text == "...":
        raise TypeError(
            f"{whole!r} takes a variable number of arguments, which is not supported: wrap it in a C function"
        )
    if "(" in text:
        return CType("pointer", 8, False, text, None, None)  # a pointer to a function
    array = re.match(r"(.*?)\s*(\w*)\s*\[[^\]]*\]$", text)
    if array:
        text = f"{array[1]} *"
    base, star, _ = text.rpartition("*")  # behind the star: a name, or qualifiers of the pointer itself
    if not star:
        return _parse_value(text, whole)
    const = re.search(r"\bconst\b", base.rpartition("*")[2]) is not None
    item = _typeof(_QUALIFIER.sub(" ", base))
    if item is None:
        qualifier = "const " if const else ""
        name = " ".join(_QUALIFIER.sub(" ", base).split())
        return CType("pointer", 8, False, f"{qualifier}{name} *", None, const)
    return pointer_to(item, const)


def _parse_value(text: str, whole: str) -> CType:
    words = _QUALIFIER.sub(" ", text).split()
    for count in (len(words), len(words) - 1):  # the last word may be a name
        ctype = _typeof(" ".join(words[:count])) if count > 0 else None
        if ctype is not None:
            return from_cffi(ctype)
    if words[:1] in (["struct"], ["union"]):
        raise TypeError(f"{text} by value is not supported in {whole!r}: pass a pointer to it")
    raise TypeError(
        f"{text!r} in {whole!r} is not a C type that kthreads knows: pass a pointer, or write its plain type"
    )


def _typeof(text: str) -> Any:
    try:
        return ffi.typeof(text.strip())
    except (ffi.error, ValueError):
        return None
