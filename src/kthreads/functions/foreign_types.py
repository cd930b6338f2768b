"""The C types and signatures that the type objects of cffi and ctypes stand for."""

from __future__ import annotations

import ctypes
import gc
import platform
import re
import sys
from functools import lru_cache
from typing import Any

from kthreads._native import ffi
from kthreads.functions.c_types import VOID, CType, function_type, pointer_to
from kthreads.functions.signature import Signature, variable_arguments

__all__ = ["from_cffi", "from_cffi_function", "from_ctypes", "from_ctypes_function"]

_WIDE_CHARACTERS = frozenset(["wchar_t", "char16_t", "char32_t"])
_COMPLEX = {"_cffi_float_complex_t": "float _Complex", "_cffi_double_complex_t": "double _Complex"}
_CHAR_SIGNED = platform.machine() == "x86_64"  # char is unsigned on aarch64; cffi has no answer
# What a simple type of ctypes stands for, by its _type_ (the table of ctypes in Modules/_ctypes/cfield.c).
_CTYPES_CODES = {
    "c": "char", "b": "signed char", "B": "unsigned char", "h": "short", "H": "unsigned short", "i": "int",
    "I": "unsigned int", "l": "long", "L": "unsigned long", "q": "long long", "Q": "unsigned long long", "f": "float",
    "d": "double", "g": "long double", "?": "bool", "u": "wchar_t", "P": "void *", "z": "char *", "Z": "wchar_t *",
    "O": "PyObject *",
}  # fmt: skip
# The attribute of a number's class that holds the class of the native byte order.
_NATIVE_ORDER = f"__ctype_{sys.byteorder[0]}e__"


@lru_cache(maxsize=1024)
def from_cffi_function(ctype: Any) -> Signature:
    """The signature of a cffi function type. It says nothing of const, which cffi does not record.

    Raises:
        TypeError: kthreads cannot call such a function; the message says why.
    """
    if ctype.ellipsis:
        raise TypeError(variable_arguments(ctype.cname))
    return Signature(from_cffi(ctype.result), tuple(map(from_cffi, ctype.args)))


def from_cffi(ctype: Any, const: bool | None = None) -> CType:
    """The C type that a type object of cffi stands for. An array counts as a pointer to its elements."""
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
    """The pointee of a pointer to this type; an array counts as its elements."""
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
    if ctype.kind == "enum":  # its name is known to one FFI object alone
        name = f"{'' if signed else 'unsigned '}{'int' if size == ffi.sizeof('int') else 'long'}"
    return CType("integer", size, signed, name, const=const)


@lru_cache(maxsize=1024)
def from_ctypes(kind: Any) -> CType:
    """The C type that a class of ctypes stands for. An array counts as its elements. None is void, as it is for restype."""
    if kind is None:
        return VOID
    code = getattr(kind, "_type_", None)
    if getattr(kind, _NATIVE_ORDER, kind) is not kind:
        return CType(f"swapped_{code}", ctypes.sizeof(kind), False, f"swapped_{code}")
    if isinstance(code, str) and code in _CTYPES_CODES:
        name = _CTYPES_CODES[code]
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


def from_ctypes_function(function: Any) -> tuple[CType | None, tuple[CType, ...] | None]:
    """The result and the parameters that a function of ctypes declares; None for what it does not declare.

    An unset restype reads as int. A function whose restype was set holds a reference to it, which shows the difference.
    """
    has_restype = hasattr(type(function), "_argtypes_") or any(
        held is function.restype for held in gc.get_referents(function)
    )
    result = from_ctypes(function.restype) if has_restype else None
    return result, None if function.argtypes is None else tuple(map(from_ctypes, function.argtypes))
