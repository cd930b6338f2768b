"""Pointers as C arguments: pointers of cffi and ctypes, buffers, bytes, str, functions and addresses."""

from __future__ import annotations

import array
import ctypes
import mmap
import operator
import sys
from collections.abc import Sequence
from typing import Any

from kthreads import _call
from kthreads._native import ffi
from kthreads.functions.buffer_formats import is_pointee
from kthreads.functions.c_types import CType, Prototype, disagreement
from kthreads.functions.converter import type_name
from kthreads.functions.foreign_memory import (
    CTypesData,
    CTypesFunction,
    CTypesReference,
    is_numpy_scalar,
    is_read_only,
    memory_of_buffer,
    memory_of_cffi,
    memory_of_ctypes,
)
from kthreads.functions.foreign_types import from_cffi, from_ctypes, from_ctypes_function
from kthreads.functions.signature import Signature

__all__ = ["PointerConverter", "know_numpy"]

_ADDRESS = ffi.typeof("uintptr_t")
_CData: Any = ffi.CData
_cast, _from_buffer = ffi.cast, ffi.from_buffer

# Types whose buffers are memory of their own, of the format that they say; C takes those itself once they were accepted here.
_call.plain_types.update(
    {bytearray: _call.KT_CHECK_TYPE, mmap.mmap: _call.KT_CHECK_TYPE, array.array: _call.KT_CHECK_FORMAT}
)


def know_numpy() -> None:
    """Adds NumPy's arrays to the plain types."""
    ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
    if ndarray is not None:
        _call.plain_types.setdefault(ndarray, _call.KT_CHECK_DTYPE)


class PointerConverter:
    """The converter for a parameter that is a pointer: from each value that may be passed there to an address.

    Attributes:
        text: the parameter's type, as C writes it.
        pointee: the type that it points to.
    """

    __slots__ = ("_formats", "_is_const", "_types", "pointee", "text")

    def __init__(self, ctype: CType) -> None:
        assert ctype.pointee is not None
        self.text = ctype.text
        self.pointee = ctype.pointee
        self._is_const = self.pointee.const is True
        self._types: dict[Any, bool] = {}  # for each type of cffi seen before, whether it fits
        self._formats: dict[tuple[str, int], bool] = {}  # likewise for the formats and item sizes of buffers

    def __call__(self, value: Any, keep: list[Any]) -> int:
        if value is None:
            return 0
        if is_numpy_scalar(value):
            return self._of_int(value)
        if isinstance(value, _CData):
            address = self._of_cffi(value)
        elif isinstance(value, bytes):
            return self._of_bytes(value, keep)
        elif isinstance(value, (CTypesData, CTypesReference)):
            address = self._of_ctypes(value)
        elif isinstance(value, int):
            return self._of_int(value)
        elif isinstance(value, str):
            return self._of_str(value, keep)
        elif self.pointee.kind == "function":
            address = self._of_function(value)
        else:
            return self._of_buffer(value, keep)
        keep.append(value)
        return address

    @property
    def flags(self) -> int:
        """What a plan in C may take without asking this converter."""
        is_for_bytes = self.pointee.kind in ("void", "opaque") or self.pointee.is_byte
        takes = {
            _call.KT_TAKES_READ_ONLY: self._is_const,
            _call.KT_TAKES_BYTES: is_for_bytes and not self._may_write_bytes,
            _call.KT_TAKES_TEXT: self.pointee.kind == "char" and self._is_const,
            _call.KT_TAKES_ADDRESS: self.pointee.kind == "void",
        }
        return sum(flag for flag, is_taken in takes.items() if is_taken)

    @property
    def _may_write_bytes(self) -> bool:
        """Whether the function has to be taken for one that writes to bytes."""
        return self.pointee.const is False or (self.pointee.const is None and self.pointee.kind == "opaque")

    def _of_cffi(self, value: Any) -> int:
        ctype = ffi.typeof(value)
        try:
            fits = self._types[ctype]
        except KeyError:
            fits = self._types[ctype] = ctype.kind in ("pointer", "array", "function") and self._fits(ctype)
        if not fits:
            if ctype.kind == "function" and self.pointee.prototype is not None:
                self._check_prototype(from_cffi(ctype).target.prototype, f"<cdata {ctype.cname!r}>")
            raise self._refusal(f"does not take <cdata {ctype.cname!r}>: cast it if this is intended")
        self._check_writable(memory_of_cffi(value))
        return int(_cast(_ADDRESS, value))

    def _fits(self, ctype: Any) -> bool:
        found = from_cffi(ctype)
        return self._takes(found if found.pointee is None else found.pointee)

    def _takes(self, pointee: CType) -> bool:
        """Whether a pointer to a type may be passed."""
        if self.pointee.kind in ("void", "opaque") or pointee.kind == "void":
            return True
        if self.pointee.depth != pointee.depth:
            return False
        target, other = self.pointee.target, pointee.target
        if self.pointee.depth and {target.kind, other.kind} & {"void", "opaque"}:
            return True
        if target.prototype is not None and other.prototype is not None:
            return disagreement(other.prototype, target.prototype) is None
        return target.layout == other.layout or (self.pointee.is_byte and pointee.is_byte)

    def _of_ctypes(self, value: Any) -> int:
        kind: Any = type(value)
        if isinstance(value, CTypesFunction) and self.pointee.prototype is not None:
            self._check_ctypes_function(value)
        elif kind is CTypesReference:
            target: Any = type(value._obj)
            self._check_ctypes(from_ctypes(target), f"byref({target.__name__})")
        elif isinstance(value, (ctypes.Array, ctypes.Structure, ctypes.Union)):
            self._check_ctypes(from_ctypes(kind), kind.__name__)
        else:
            found = from_ctypes(kind)
            if found.pointee is None:
                raise self._refusal(f"does not take a ctypes {kind.__name__}: pass ctypes.byref() of it")
            self._check_ctypes(found.pointee, kind.__name__)
        is_memory = isinstance(value, (ctypes.Array, ctypes.Structure, ctypes.Union))
        address = ctypes.addressof(value) if is_memory else ctypes.cast(value, ctypes.c_void_p).value or 0
        if not self._is_const:
            self._check_writable(memory_of_ctypes(value, address))
        return address

    def _check_ctypes(self, pointee: CType, name: str) -> None:
        if not self._takes(pointee):
            raise self._refusal(f"does not take a ctypes {name}: cast it if this is intended")

    def _refusal(self, why: str) -> TypeError:
        return TypeError(f"{self.text} {why}")

    def _of_function(self, value: Any) -> int:
        address = getattr(value, "address", None)  # the attribute of a NativeFunction, and of a cfunc of numba
        if not isinstance(address, int):
            raise self._refusal(
                f"takes a native function, not {type_name(value)}: pass what kthreads.native() returns, "
                "or a callback of cffi or ctypes"
            )
        signature = getattr(value, "parsed", None)
        if isinstance(signature, Signature):
            self._check_prototype(signature.prototype, value.name)
        elif isinstance(of_numba := getattr(value, "ctypes", None), CTypesFunction):
            self._check_ctypes_function(of_numba)
        return address

    def _check_ctypes_function(self, value: Any) -> None:
        """Checks what a function of ctypes declares."""
        expected = self.pointee.prototype
        assert expected is not None
        result, parameters = from_ctypes_function(value)
        found = Prototype(
            expected.result if result is None else result,
            expected.parameters if parameters is None else parameters,
            False,
        )
        self._check_prototype(found, getattr(value, "__name__", type(value).__name__))

    def _check_prototype(self, found: Prototype | None, name: str) -> None:
        """Raises TypeError for a function of another type than the one that the parameter points to."""
        if self.pointee.prototype is None or found is None:
            return
        if (reason := disagreement(found, self.pointee.prototype)) is not None:
            raise self._refusal(f"does not take {name}, because {reason}: cast it to void * if this is intended")

    def _of_int(self, value: Any) -> int:
        """An address. A scalar of NumPy is a number here, too, not the memory that it exports as a buffer."""
        if self.pointee.kind != "void" or isinstance(value, bool) or not hasattr(value, "__index__"):
            raise self._refusal(
                f"does not take {type_name(value)}: an address goes where a parameter is void *; "
                "pass a pointer of cffi or ctypes, or an array"
            )
        value = operator.index(value)
        if not 0 <= value < 1 << 64:
            raise OverflowError(f"{value} is not an address (0 to 2**64 - 1)")
        return int(value)

    def _check_writable(self, memories: Sequence[Any]) -> None:
        """Checks the objects whose memory a pointer is known to point to."""
        for memory in memories:
            if isinstance(memory, bytes):
                self._check_bytes()
            elif not self._is_const and is_read_only(memory):
                raise self._refusal(f"may be written to, and the memory is read-only: {self._advice()}")

    def _check_bytes(self) -> None:
        if self._may_write_bytes:
            raise self._refusal(f"may be written to, and bytes are read-only: pass a bytearray, or {self._advice()}")

    def _of_bytes(self, value: bytes, keep: list[Any]) -> int:
        if not (self.pointee.kind in ("void", "opaque") or self.pointee.is_byte):
            raise self._refusal(
                "does not take bytes: pass a buffer of its own type, such as a NumPy array or array.array"
            )
        self._check_bytes()
        memory = _from_buffer(bytes(value))  # bytes() for subclasses, such as NumPy's
        keep.append(memory)
        return int(_cast(_ADDRESS, memory))

    def _of_str(self, value: str, keep: list[Any]) -> int:
        if self.pointee.kind != "char" or not self._is_const:
            raise self._refusal("does not take str, only a const char * does: encode it to bytes")
        if "\0" in value:
            raise ValueError("a str with a NUL in it cannot be a C string: encode it if the function takes a length")
        try:
            encoded = value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"the str cannot be encoded as UTF-8: {error.reason}") from None
        return self._of_bytes(encoded, keep)  # CPython ends bytes with a NUL

    def _of_buffer(self, value: Any, keep: list[Any]) -> int:
        view = self._view(value)
        key = (view.format, view.itemsize)
        try:
            fits = self._formats[key]
        except KeyError:
            fits = self._formats[key] = is_pointee(self.pointee, *key)
        if not fits:
            raise self._refusal(
                f"does not take a buffer of format {view.format!r} ({view.itemsize} bytes an item): convert it, "
                "as with numpy.asarray(..., dtype=...), or reinterpret it with a view"
            )
        if not view.c_contiguous:
            raise ValueError("the buffer is not C-contiguous: pass a copy, as numpy.ascontiguousarray makes")
        if view.readonly and not self._is_const:
            raise self._refusal(
                f"may be written to, and the buffer is read-only: pass a writable one, or {self._advice()}"
            )
        self._check_writable(memory_of_buffer(view))
        if hasattr(value, "dtype"):
            know_numpy()
        memory = _from_buffer(view)
        keep.append(memory)
        return int(_cast(_ADDRESS, memory))

    def _view(self, value: Any) -> memoryview:
        try:
            return memoryview(value)
        except TypeError:
            raise self._refusal(f"takes a buffer, a pointer or None, not {type_name(value)}") from None
        except ValueError as error:  # a released memoryview, a closed mmap, or a dtype without a format
            raise ValueError(f"the {type_name(value)} cannot be used as a buffer: {error}") from None

    def _advice(self) -> str:
        return "declare the pointee const" + (" with signature=" if self.pointee.const is None else "")
