"""Python values as C arguments, and C results as Python values: converted, range-checked, and kept alive.

A converter takes a value and the list of what must stay alive, and returns the number that goes into the
argument's word. What it raises does not say which argument it was: `NativeFunction.bind` adds that.
"""

from __future__ import annotations

import ctypes
import operator
import struct
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache
from operator import itemgetter
from typing import Any, cast

from kthreads._native import ffi, lib
from kthreads.functions.c_types import CType
from kthreads.functions.foreign_memory import (
    CFFIBuffer,
    CTypesData,
    CTypesReference,
    holds_objects,
    is_numpy_scalar,
    is_read_only,
    memory_of_buffer,
    memory_of_cffi,
    memory_of_ctypes,
)
from kthreads.functions.foreign_types import from_cffi, from_ctypes
from kthreads.functions.signature import Signature

Converter = Callable[[Any, list[Any]], Any]

_ADDRESS, _BYTES = ffi.typeof("uintptr_t"), ffi.typeof("char[]")
_CData: Any = ffi.CData
_CTypesFunction: Any = ctypes._CFuncPtr  # type: ignore[attr-defined]
_cast, _from_buffer = ffi.cast, ffi.from_buffer

# Format characters of the buffer protocol (Lib/struct, PEP 3118): kind and sign. The size is the buffer's itemsize.
_FORMATS = dict.fromkeys("bhilqn", ("integer", True)) | dict.fromkeys("BHILQN", ("integer", False))
_FORMATS |= dict.fromkeys("fdg", ("float", True)) | dict.fromkeys(("Zf", "Zd", "Zg"), ("complex", True))
_FORMATS |= {"?": ("bool", False), "c": ("char", False), "P": ("pointer", False)}
_FORMATS |= dict.fromkeys("uw", ("integer", True))
_NATIVE_ORDERS = "@=<^" if sys.byteorder == "little" else "@=>!^"


def converter(ctype: CType) -> Converter:
    """What converts the arguments for a parameter of this type.

    Raises (the converter): TypeError for a value of a wrong type, OverflowError for a number out of range,
    ValueError for a buffer that is not contiguous, not writable or released.
    """
    if ctype.kind == "integer":
        return _integer(ctype)
    if ctype.kind == "float":
        return _float(ctype) if ctype.size == 4 else _double(ctype)
    if ctype.kind == "bool":
        return _bool
    if ctype.kind == "char":
        return _char(ctype)
    return _Pointer(ctype)


# ---- Numbers -------------------------------------------------------------------------------------------------------


def _integer(ctype: CType) -> Converter:
    bits = 8 * ctype.size
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if ctype.signed else (0, (1 << bits) - 1)
    index = operator.index

    def convert(value: Any, keep: list[Any]) -> int:
        try:
            number = index(value)
        except TypeError:
            raise TypeError(f"{ctype.text} takes an int, not {_kind(value)}") from None
        if low <= number <= high:
            return number
        raise OverflowError(f"{number} is out of range for {ctype.text} ({low} to {high})")

    return convert


def _double(ctype: CType) -> Converter:
    def convert(value: Any, keep: list[Any]) -> float:
        if not (hasattr(value, "__float__") or hasattr(value, "__index__")):
            raise TypeError(f"{ctype.text} takes a number, not {_kind(value)}")
        try:
            return float(value)
        except OverflowError:
            raise OverflowError(f"the integer is out of range for {ctype.text}") from None

    return convert


def _float(ctype: CType) -> Converter:
    convert = _double(ctype)
    return lambda value, keep: float(_cast("float", convert(value, keep)))  # too large is infinite, as in C and cffi


def _bool(value: Any, keep: list[Any]) -> int:
    if getattr(getattr(value, "dtype", None), "kind", None) == "b":  # a NumPy bool, which is no integer
        return int(bool(value))
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"bool takes True, False, 1 or 0, not {_kind(value)}") from None
    if number not in (0, 1):
        raise OverflowError(f"{number} is out of range for bool (0 or 1)")
    return number


def _char(ctype: CType) -> Converter:
    def convert(value: Any, keep: list[Any]) -> int:
        if not isinstance(value, bytes) or len(value) != 1:
            raise TypeError(f"char takes bytes of length 1, not {_kind(value)}")
        return int.from_bytes(value, "little", signed=ctype.signed)

    return convert


def _kind(value: Any) -> str:
    return type(value).__name__


# ---- Pointers ------------------------------------------------------------------------------------------------------


class _Pointer:
    """Converts to an address whatever may be passed where a parameter is a pointer."""

    __slots__ = ("_formats", "_plain", "_readonly", "_types", "item", "text")

    def __init__(self, ctype: CType) -> None:
        assert ctype.pointee is not None
        self.text = ctype.text
        self.item = ctype.pointee
        self._readonly = self.item.const is True
        self._types: dict[Any, bool] = {}  # types of cffi and ctypes: whether they fit
        self._formats: dict[tuple[str, int], bool] = {}  # buffers, likewise
        self._plain: set[str] = (
            set()
        )  # formats that fit and need no more looking at; those of ctypes are not among them

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
        elif self.item.kind == "function":
            address = self._of_function(value)
        else:
            return self._of_buffer(value, keep)
        keep.append(value)
        return address

    def quick(self) -> Converter:
        """The same, with the path that most buffers take in one piece."""
        plain, writable = self._plain, not self._readonly
        # Of the last NumPy array; most have one of few dtypes, each a single object, which scalars share.
        accepted: Any = None
        kind: Any = None

        def convert(value: Any, keep: list[Any]) -> int:
            nonlocal accepted, kind
            dtype = getattr(value, "dtype", None)
            try:
                if dtype is not accepted or dtype is None or type(value) is not kind:
                    view = memoryview(value)
                    if view.format not in plain or type(view.obj) is CFFIBuffer or is_numpy_scalar(value):
                        return self(value, keep)
                    accepted, kind = dtype, type(value)
                memory = _from_buffer(_BYTES, value, writable)
            except (TypeError, ValueError, BufferError):
                return self(value, keep)
            keep.append(memory)
            return int(_cast(_ADDRESS, memory))

        return convert

    # ---- Values that are pointers --------------------------------------------------------------------------------

    def _of_cffi(self, value: Any) -> int:
        ctype = ffi.typeof(value)
        fits = self._types.get(ctype)
        if fits is None:
            fits = self._types[ctype] = ctype.kind in ("pointer", "array", "function") and self._fits(ctype)
        if not fits:
            raise self._refusal(f"does not take <cdata {ctype.cname!r}>: cast it if you mean it")
        self._check_writable(memory_of_cffi(value))
        return int(_cast(_ADDRESS, value))

    def _fits(self, ctype: Any) -> bool:
        found = from_cffi(ctype)
        return self._takes(found if found.pointee is None else found.pointee)

    def _takes(self, item: CType) -> bool:
        """Whether a pointer to `item` may be passed."""
        if self.item.kind in ("void", "opaque") or item.kind == "void":
            return True
        if self.item.depth or item.depth:
            return self.item.depth == item.depth and (
                self.item.target.kind in ("void", "opaque")
                or item.target.kind in ("void", "opaque")
                or self.item.target.layout == item.target.layout
            )
        return self.item.layout == item.layout or (self.item.is_byte and item.is_byte)

    def _of_ctypes(self, value: Any) -> int:
        kind: Any = type(value)
        if kind is CTypesReference:
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
        if not self._readonly:
            self._check_writable(memory_of_ctypes(value, address))
        return address

    def _check_ctypes(self, item: CType, name: str) -> None:
        if not self._takes(item):
            raise self._refusal(f"does not take a ctypes {name}: cast it if you mean it")

    def _refusal(self, why: str) -> TypeError:
        return TypeError(f"{self.text} {why}")

    def _of_function(self, value: Any) -> int:
        address = getattr(value, "address", None)  # of a NativeFunction, or of numba
        if not isinstance(address, int):
            raise self._refusal(
                f"takes a native function, not {_kind(value)}: pass what kthreads.native() returns, "
                "or a callback of cffi or ctypes"
            )
        return address

    def _of_int(self, value: Any) -> int:
        """An address. A NumPy scalar is a number, too, not the memory that it would show as a buffer."""
        if self.item.kind != "void" or isinstance(value, bool) or not hasattr(value, "__index__"):
            raise self._refusal(
                f"does not take {_kind(value)}: an address goes where a parameter is void *; "
                "pass a pointer of cffi or ctypes, or an array"
            )
        value = operator.index(value)
        if not 0 <= value < 1 << 64:
            raise OverflowError(f"{value} is not an address (0 to 2**64 - 1)")
        return int(value)

    # ---- Values that are memory ----------------------------------------------------------------------------------

    def _check_writable(self, memories: Sequence[Any]) -> None:
        """Looks at the objects whose memory a pointer is known to point to."""
        for memory in memories:
            if isinstance(memory, bytes):
                self._check_bytes()
            elif not self._readonly and is_read_only(memory):
                raise self._refusal(f"may be written to, and the memory is read-only: {self._advice()}")

    def _check_bytes(self) -> None:
        if self.item.const is False or (self.item.const is None and self.item.kind == "opaque"):
            raise self._refusal(f"may be written to, and bytes are read-only: pass a bytearray, or {self._advice()}")

    def _of_bytes(self, value: bytes, keep: list[Any]) -> int:
        if not (self.item.kind in ("void", "opaque") or self.item.is_byte):
            raise self._refusal(
                "does not take bytes: pass a buffer of its own type, such as a NumPy array or array.array"
            )
        self._check_bytes()
        memory = _from_buffer(bytes(value))  # of a subclass, such as NumPy's, too
        keep.append(memory)
        return int(_cast(_ADDRESS, memory))

    def _of_str(self, value: str, keep: list[Any]) -> int:
        if self.item.kind != "char" or not self._readonly:
            raise self._refusal("does not take str, which goes where a parameter is const char *: encode it to bytes")
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
        fits = self._formats.get(key)
        if fits is None:
            fits = self._formats[key] = self._takes_format(*key)
            if fits and view.format[:1].isalpha():
                self._plain.add(view.format)
        if not fits:
            raise self._refusal(
                f"does not take a buffer of format {view.format!r} ({view.itemsize} bytes an item): convert it, "
                "as with numpy.asarray(..., dtype=...), or reinterpret it with a view"
            )
        if not view.c_contiguous:
            raise ValueError("the buffer is not C-contiguous: pass a copy, as numpy.ascontiguousarray makes")
        if view.readonly and not self._readonly:
            raise self._refusal(
                f"may be written to, and the buffer is read-only: pass a writable one, or {self._advice()}"
            )
        self._check_writable(memory_of_buffer(view))
        memory = _from_buffer(view)
        keep.append(memory)
        return int(_cast(_ADDRESS, memory))

    def _takes_format(self, text: str, size: int) -> bool:
        order, code = (text[0], text[1:]) if text[:1] in tuple("@=<>!^") else ("@", text)
        if holds_objects(text):
            return False
        if self.item.kind in ("void", "opaque"):
            return True
        if order not in _NATIVE_ORDERS and size > 1:
            return False
        kind, signed = _FORMATS.get(code, ("", False))
        if self.item.is_byte:
            return size == 1 and kind in ("integer", "char")
        if code in ("u", "w"):
            return self.item.name in ("wchar_t", "char32_t") and size == self.item.size
        return (kind, size, signed) == self.item.layout

    def _view(self, value: Any) -> memoryview:
        try:
            return memoryview(value)
        except TypeError:
            raise self._refusal(f"takes a buffer, a pointer or None, not {_kind(value)}") from None
        except ValueError as error:  # a released memoryview, a closed mmap, a dtype that has no format
            raise ValueError(f"the {_kind(value)} cannot be used as a buffer: {error}") from None

    def _advice(self) -> str:
        return "declare the pointee const" + (" with signature=" if self.item.const is None else "")


# ---- A whole call ----------------------------------------------------------------------------------------------------

INTEGERS_AT = 8  # offset of kt_call.integers, in bytes; the floats follow them


class Plan:
    """How to turn arguments into a call and its result into a Python value, for one signature.

    Arguments are packed by one compiled `struct` format, which also checks the ranges of most numbers; what it cannot
    check is first converted. What fails is converted anew by the strict converters, whose exceptions people can read.
    """

    __slots__ = ("_convert", "_order", "count", "pack_into", "read", "signature", "strict")

    def __init__(self, signature: Signature) -> None:
        parameters = signature.parameters
        self.signature = signature
        self.count = len(parameters)
        self.strict: list[Converter] = [converter(parameter) for parameter in parameters]
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
        """What `pack_into` packs, checked as far as that does not do it."""
        if self._convert:
            args = list(args)
            for number, convert in self._convert:
                args[number] = convert(args[number], keep)
        return self.in_order(args)

    def in_order(self, words: Sequence[Any]) -> Sequence[Any]:
        """Words in the order that `pack_into` takes them in."""
        return words if self._order is None else cast("Sequence[Any]", self._order(words))


plan_of = lru_cache(maxsize=1024)(Plan)


def _quick(ctype: CType, strict: Converter) -> Converter | None:
    """A converter that leaves to `struct` what that checks by itself; None where that is all."""
    if ctype.kind == "float" or (ctype.kind == "integer" and (ctype.size >= 4 or not ctype.signed)):
        return None
    if isinstance(strict, _Pointer):
        return strict.quick()
    return strict


def _word(ctype: CType) -> str:
    """The `struct` format of the word that carries an argument, extended to 32 bits at least."""
    if ctype.kind == "float":
        return "d" if ctype.size == 8 else "f4x"
    if ctype.signed:
        return "i4x" if ctype.kind == "integer" and ctype.size == 4 else "q"
    return {1: "B7x", 2: "H6x", 4: "I4x", 8: "Q"}[ctype.size]


def _reader(ctype: CType) -> Callable[[int], Any]:
    """What turns the bits of a result into a Python value."""
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
