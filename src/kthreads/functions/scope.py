"""The names that a C declaration may use: of types, of enums and of constants."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from kthreads._native import ffi
from kthreads.functions.c_types import CType
from kthreads.functions.foreign_types import from_cffi

__all__ = ["KEYWORDS", "Scope", "basic_type"]

KEYWORDS = frozenset([
    "alignas", "alignof", "asm", "auto", "break", "case", "constexpr", "continue", "default", "do", "else",
    "extern", "false", "for", "goto", "if", "nullptr", "return", "sizeof", "static", "static_assert", "switch",
    "thread_local", "true", "typedef", "typeof", "typeof_unqual", "while", "_Alignas", "_Alignof", "_Atomic",
    "_BitInt", "_Decimal32", "_Decimal64", "_Decimal128", "_Float16", "_Float32", "_Float64", "_Float128",
    "_Float32x", "_Float64x", "_Float128x", "_Generic", "_Imaginary", "_Noreturn", "_Static_assert",
    "_Thread_local", "__alignof", "__alignof__", "__asm", "__asm__", "__attribute", "__attribute__", "__auto_type",
    "__bf16", "__builtin_va_list", "__declspec", "__extension__", "__float128", "__float80", "__fp16", "__ibm128",
    "__imag__", "__int128_t", "__label__", "__real__", "__thread", "__typeof", "__typeof__", "__uint128_t",
])  # fmt: skip
"""Words of C that cannot be the name of a function or of a parameter, beside those of `declaration`."""

_ALIASES = {"Py_ssize_t": "ssize_t"}  # what Cython writes and cffi does not know


class Scope:
    """The names that declarations have given so far; each is found after its declaration.

    Attributes:
        types: the types that typedef names.
        enums: the integer type of each enum, by its tag.
        constants: the values of enumerators.
        macros: the tokens that the names of macros stand for.
    """

    def __init__(self) -> None:
        self.types: dict[str, CType] = {}
        self.enums: dict[str, CType] = {}
        self.constants: dict[str, int] = {}
        self.macros: dict[str, list[str]] = {}

    def find(self, name: str) -> CType | None:
        """The type of a name; None for a name that is not of a type."""
        return self.types.get(name) or basic_type(name)


@lru_cache(maxsize=4096)
def basic_type(name: str) -> CType | None:
    """The type that cffi knows by a name, or by words such as "unsigned long"; None where it knows none."""
    name = _ALIASES.get(name, name)
    if "__int128" in name:  # cffi would take this word for a name
        return None
    try:
        found: Any = ffi.typeof(name)
    except (ffi.error, ValueError):
        return None
    return from_cffi(found, False)
