"""Python values as C arguments: converted, range-checked, and kept alive."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any

from kthreads._native import ffi
from kthreads.signature import CType

Converter = Callable[[Any, list[Any]], int]
"""Takes a value and the list of what must stay alive; returns the bits for an integer register."""

_MASK = (1 << 64) - 1
_FORMAT_KINDS = dict.fromkeys("bhilqn", ("integer", True)) | dict.fromkeys("BHILQN", ("integer", False))
_FORMAT_KINDS |= {
    "f": ("float", True),
    "d": ("float", True),
    "?": ("bool", False),
    "c": ("char", True),
    "P": ("pointer", False),
}
_NATIVE_ORDERS = "@=<" if sys.byteorder == "little" else "@=>!"


def converter(ctype: CType, position: int) -> Converter:
    """The converter for parameter number `position` (from 1) of this integer-like type."""
    if ctype.kind == "integer":
        return _integer(ctype, position)
    if ctype.kind == "bool":
        return _bool(ctype, position)
    if ctype.kind == "char":
        return _char(ctype, position)
    return _Pointer(ctype, position)


def _integer(ctype: CType, position: int) -> Converter:
    bits = 8 * ctype.size
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if ctype.signed else (0, (1 << bits) - 1)

    def convert(value: Any, keep: list[Any]) -> int:
        try:
            number = operator.index(value)
        except TypeError:
            raise TypeError(f"argument {position}: {ctype.text} takes an int, not {type(value).__name__}") from None
        if not low <= number <= high:
            raise OverflowError(f"argument {position}: {number} is out of range for {ctype.text} ({low} to {high})")
        return number & _MASK

    return convert


def _bool(ctype: CType, position: int) -> Converter:
    def convert(value: Any, keep: list[Any]) -> int:
        try:
            number = operator.index(value)
        except TypeError:
            raise TypeError(
                f"argument {position}: bool takes True, False, 1 or 0, not {type(value).__name__}"
            ) from None
        if number not in (0, 1):
            raise OverflowError(f"argument {position}: {number} is out of range for bool (0 or 1)")
        return number

    return convert


def _char(ctype: CType, position: int) -> Converter:
    def convert(value: Any, keep: list[Any]) -> int:
        if not isinstance(value, bytes) or len(value) != 1:
            raise TypeError(f"argument {position}: char takes bytes of length 1, not {value!r}")
        return int.from_bytes(value, signed=ctype.signed) & _MASK

    return convert


class _Pointer:
    """Converts to an address what may be passed where a parameter is a pointer."""

    def __init__(self, ctype: CType, position: int) -> None:
        self.ctype = ctype
        self.position = position
        pointee = ctype.pointee
        self.takes_bytes = ctype.is_void_pointer or (
            pointee is not None and pointee.size == 1 and pointee.kind != "bool"
        )
        self.opaque = pointee is None

    def __call__(self, value: Any, keep: list[Any]) -> int:
        if value is None:
            return 0
        if isinstance(value, ffi.CData):
            return self._cdata(value, keep)
        if isinstance(value, str):
            return self._str(value, keep)
        if isinstance(value, bytes):
            return self._bytes(value, keep)
        if isinstance(value, int):
            return self._address(value)
        if (ctypes := sys.modules.get("ctypes")) is not None and (
            address := self._ctypes(ctypes, value, keep)
        ) is not None:
            return address
        return self._buffer(value, keep)

    def _refuse(self, why: str) -> TypeError:
        return TypeError(f"argument {self.position}: {self.ctype.text} {why}")

    def _cdata(self, value: Any, keep: list[Any]) -> int:
        ctype = ffi.typeof(value)
        if ctype.kind not in ("pointer", "array") and not (ctype.kind == "function" and self.opaque):
            raise self._refuse(f"takes a pointer, not <cdata {ctype.cname!r}>")
        item = ctype.item if ctype.kind in ("pointer", "array") else None
        if item is not None and not self.opaque and item.kind != "void":
            self._check_item(item)
        keep.append(value)
        return int(ffi.cast("uintptr_t", value))

    def _check_item(self, item: Any) -> None:
        pointee = self.ctype.pointee
        assert pointee is not None
        if item.kind in ("primitive", "enum"):
            text = item.cname
            size = ffi.sizeof(item)
            kind = (
                "float"
                if text in ("float", "double")
                else "other"
                if "omplex" in text or text == "long double"
                else "integer"
            )
            signed = kind == "float" or int(ffi.cast("int64_t", ffi.cast(item, -1))) < 0
            if self._fits(kind, size, signed, text == "_Bool", text == "char"):
                return
        elif item.kind == "pointer" and pointee.kind == "pointer":
            return
        raise self._refuse(f"does not point to {item.cname}: cast the pointer if you mean it")

    def _fits(self, kind: str, size: int, signed: bool, is_bool: bool, is_char: bool) -> bool:
        """Whether items of this kind may lie where the pointee is expected."""
        pointee = self.ctype.pointee
        assert pointee is not None
        if size == 1 and pointee.size == 1:
            return is_bool == (pointee.kind == "bool") or (not is_bool and pointee.kind != "bool")
        if is_bool or is_char or pointee.kind in ("bool", "char"):
            return False
        return (kind, size, signed) == (pointee.kind, pointee.size, pointee.signed)

    def _str(self, value: str, keep: list[Any]) -> int:
        pointee = self.ctype.pointee
        if pointee is None or pointee.kind != "char" or self.ctype.const is not True:
            raise self._refuse("does not take str, which goes where a parameter is const char *: encode it to bytes")
        if "\0" in value:
            raise ValueError(f"argument {self.position}: a str with a NUL inside cannot be a C string")
        return self._bytes(value.encode(), keep)

    def _bytes(self, value: bytes, keep: list[Any]) -> int:
        if not self.takes_bytes and not self.opaque:
            raise self._refuse(
                "does not take bytes: pass a buffer of its own type, such as a NumPy array or array.array"
            )
        if self.ctype.const is False:
            raise self._refuse(
                "may be written to, and bytes are read-only: pass a bytearray, or declare the pointee const"
            )
        memory = ffi.from_buffer(value)
        keep.append(memory)
        return int(ffi.cast("uintptr_t", memory))

    def _address(self, value: int) -> int:
        if not self.ctype.is_void_pointer or isinstance(value, bool):
            raise self._refuse(f"does not take {type(value).__name__}: an address goes where a parameter is void *")
        if not 0 <= value <= _MASK:
            raise OverflowError(f"argument {self.position}: {value} is not an address")
        return value

    def _ctypes(self, ctypes: Any, value: Any, keep: list[Any]) -> int | None:
        """The address of a ctypes object; None for what is none."""
        target: Any = type(value)
        if target.__name__ == "CArgObject":
            target, is_reference = type(value._obj), True
        else:
            is_reference = isinstance(value, ctypes._Pointer)
            target = value._type_ if is_reference else target
        if is_reference:
            self._check_ctypes(ctypes, target)
            address = ctypes.cast(value, ctypes.c_void_p).value or 0
        elif isinstance(value, (ctypes.c_void_p, ctypes.c_char_p)) or type(value).__mro__[-3:-2] == (ctypes._CFuncPtr,):
            address = ctypes.cast(value, ctypes.c_void_p).value or 0
        elif isinstance(value, (ctypes.Structure, ctypes.Union)):
            self._check_ctypes(ctypes, target)
            address = ctypes.addressof(value)
        else:
            return None
        keep.append(value)
        return int(address)

    def _check_ctypes(self, ctypes: Any, target: Any) -> None:
        code = getattr(target, "_type_", None)
        if self.opaque or not isinstance(code, str):
            return
        kind, signed = _FORMAT_KINDS.get(code, ("other", False))
        if not self._fits(kind, ctypes.sizeof(target), signed, code == "?", code == "c"):
            raise self._refuse(f"does not point to ctypes.{target.__name__}: cast the pointer if you mean it")

    def _buffer(self, value: Any, keep: list[Any]) -> int:
        try:
            view = memoryview(value)
        except TypeError:
            raise self._refuse(
                f"does not take {type(value).__name__}: pass a buffer, a cffi or ctypes pointer, or None"
            ) from None
        if not view.c_contiguous:
            raise ValueError(f"argument {self.position}: the buffer is not C-contiguous: pass a contiguous copy")
        if not self.opaque:
            self._check_format(view)
        if view.readonly and self.ctype.const is not True:
            advice = (
                "declare the pointee const with signature="
                if self.ctype.const is None
                else "or declare the pointee const"
            )
            raise self._refuse(f"may be written to, and the buffer is read-only: pass a writable one, {advice}")
        memory = ffi.from_buffer(view)
        keep.append(memory)
        return int(ffi.cast("uintptr_t", memory))

    def _check_format(self, view: memoryview) -> None:
        form = view.format
        if form[:1] in "@=<>!":
            order, form = form[:1], form[1:]
        else:
            order = "@"
        kind, signed = _FORMAT_KINDS.get(form, ("other", False))
        raw_bytes = form in ("B", "b", "c") and self.takes_bytes
        native_order = view.itemsize == 1 or order in _NATIVE_ORDERS
        if raw_bytes or (native_order and self._fits(kind, view.itemsize, signed, form == "?", form == "c")):
            return
        raise self._refuse(
            f"does not take a buffer of format {view.format!r} ({view.itemsize} bytes an item): convert it"
        )
