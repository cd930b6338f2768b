"""Native functions: where they come from, and how they are called."""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from typing import Any

from kthreads._native import ffi, lib
from kthreads.convert import Converter, converter
from kthreads.errors import LibraryNotFoundError, SymbolNotFoundError
from kthreads.signature import VOID, CType, Signature, from_cffi, from_cffi_function, parse, pointer_to

__all__ = ["Call", "NativeFunction", "is_native", "native", "symbol"]

_NEW_CALL = ffi.typeof("kt_call *")
_MASK = (1 << 64) - 1


class Call:
    """A native function with its arguments, ready to run on any thread.

    `result` and `errno` are known once the call has ended. Whatever the arguments point to is kept alive, and
    buffers locked, until `finish`.
    """

    __slots__ = ("cdata", "function", "keepalive")

    def __init__(self, function: NativeFunction, cdata: Any, keepalive: list[Any] | None) -> None:
        self.function = function
        self.cdata = cdata
        self.keepalive: list[Any] | None = keepalive

    def finish(self, outcome: Any) -> None:
        """Takes over how the call ended on its thread, and lets go of the arguments."""
        self.cdata.result = outcome.result
        self.cdata.error = outcome.error
        self.keepalive = None

    @property
    def result(self) -> Any:
        """What the function returned, as the Python value of its C type."""
        return self.function._decode(self.cdata)

    @property
    def errno(self) -> int:
        """errno as the function left it."""
        return int(self.cdata.error)


class NativeFunction:
    """A C function: its address, its signature, and the object that keeps it loaded.

    Called, it runs on the calling thread, without the GIL. The result has the type of its C type: int, float, bool,
    bytes of length 1 for char, None for void, a cffi ``void *`` for pointers (``char *`` for those).
    """

    __slots__ = ("_fillers", "_template", "address", "library", "name", "owner", "parsed")

    def __init__(
        self, address: int, signature: Signature, *, name: str = "", owner: Any = None, library: str | None = None
    ) -> None:
        if not address:
            raise ValueError(f"the native function {name or signature} is NULL")
        self.address = address
        self.parsed = signature
        self.name = name
        self.owner = owner
        self.library = library
        self._template = ffi.new(_NEW_CALL)
        self._template.function = ffi.cast("kt_function", address)
        self._template.kind = _result_kind(signature.result)
        self._fillers = _fillers(signature)

    @property
    def signature(self) -> str:
        """The C signature, such as ``double(int, const double *)``."""
        return str(self.parsed)

    def bind(self, args: Sequence[Any]) -> Call:
        """A call with these arguments, converted and checked.

        Raises:
            TypeError, OverflowError, ValueError, BufferError: an argument does not fit; the message says which and why.
        """
        fillers = self._fillers
        if len(args) != len(fillers):
            raise TypeError(
                f"{self.name or 'the native function'} takes {len(fillers)} arguments ({self.signature}), not {len(args)}"
            )
        cdata = ffi.new(_NEW_CALL, self._template[0])
        if not fillers:
            return Call(self, cdata, None)
        keep: list[Any] = []
        integers = cdata.integers
        for (place, convert, floats), value in zip(fillers, args, strict=True):
            if convert is not None:
                integers[place] = convert(value, keep)
            else:
                _fill_float(cdata, place, floats, value)
        return Call(self, cdata, keep)

    def __call__(self, *args: Any) -> Any:
        call = self.bind(args)
        lib.kt_call_run(call.cdata)
        return self._decode(call.cdata)

    def _decode(self, cdata: Any) -> Any:
        result = self.parsed.result
        if result.kind == "void":
            return None
        if result.kind == "float":
            pointer = ffi.cast("float *" if result.size == 4 else "double *", ffi.addressof(cdata, "result"))
            return pointer[0]
        bits = cdata.result
        if result.kind == "pointer":
            is_string = result.pointee is not None and result.pointee.kind == "char"
            return ffi.cast("char *" if is_string else "void *", bits)
        number = bits & ((1 << 8 * result.size) - 1)
        if result.kind == "bool":
            return bool(number)
        if result.kind == "char":
            return bytes([number])
        if result.signed and number >> (8 * result.size - 1):
            number -= 1 << 8 * result.size
        return number

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NativeFunction):
            return NotImplemented
        return (self.address, self.parsed.abi) == (other.address, other.parsed.abi)

    def __hash__(self) -> int:
        return hash((self.address, self.parsed.abi))

    def __repr__(self) -> str:
        origin = f" of {self.library}" if self.library else ""
        return f"<NativeFunction {self.name or hex(self.address)}{origin}: {self.signature}>"


def _result_kind(result: CType) -> int:
    if result.kind == "void":
        return int(lib.KT_RESULT_NONE)
    return int(lib.KT_RESULT_FLOAT if result.kind == "float" else lib.KT_RESULT_INTEGER)


_Filler = tuple[int, Converter | None, str]


def _fillers(signature: Signature) -> list[_Filler]:
    """For each parameter its place among the registers of its class, and how to get there."""
    fillers: list[_Filler] = []
    integers = floats = 0
    for position, parameter in enumerate(signature.parameters, 1):
        if parameter.kind == "float":
            fillers.append((floats, None, parameter.text))
            floats += 1
        else:
            fillers.append((integers, converter(parameter, position), ""))
            integers += 1
    return fillers


def _fill_float(cdata: Any, place: int, text: str, value: Any) -> None:
    """cffi's own conversion, into the low bytes of the word."""
    words = ffi.cast("double *", cdata.floats) if text == "double" else ffi.cast("float *", cdata.floats)
    try:
        words[place if text == "double" else 2 * place] = value
    except TypeError:
        raise TypeError(f"{text} takes a number, not {type(value).__name__}") from None


# ---- Where native functions come from -------------------------------------------------------------------------------


def native(obj: Any, signature: str | None = None) -> NativeFunction:
    """The native function that an object stands for.

    Args:
        obj: a cffi function pointer or API-mode function, a ctypes function with argtypes and restype, a numba
            cfunc, a PyCapsule that is named by its signature (Cython's ``__pyx_capi__``), a scipy LowLevelCallable,
            an address, or a NativeFunction.
        signature: needed for an address, and for a ctypes function that does not declare its types. With the others it
            may state what they do not tell, which is const; it must agree with them otherwise.

    Raises:
        TypeError: it is none of these, or cannot be called from registers; the message says why.
        ValueError: it is NULL.
    """
    declared = None if signature is None else parse(signature)
    found = obj if isinstance(obj, NativeFunction) else _adapt(obj, declared)
    if found is None:
        raise TypeError(
            f"{type(obj).__name__} is not a native function: pass a cffi, ctypes, numba or Cython function, "
            "or an address with a signature"
        )
    if declared is None or declared == found.parsed:
        return found
    if declared.abi != found.parsed.abi:
        raise TypeError(f"signature {declared} does not agree with the function's own, {found.parsed}")
    return NativeFunction(found.address, declared, name=found.name, owner=found.owner, library=found.library)


def symbol(library: str | None, name: str, signature: str) -> NativeFunction:
    """A function of a shared library, which stays loaded.

    Args:
        library: what dlopen(3) takes, such as "libz.so.1" or a path; None for what this process has loaded already.
        name: of the function.
        signature: as C declares it, such as ``unsigned long(unsigned long, const unsigned char *, unsigned int)``.

    Raises:
        LibraryNotFoundError (an OSError), SymbolNotFoundError (an AttributeError).
    """
    import ctypes

    parsed = parse(signature)
    try:
        opened = ctypes.CDLL(library)
    except OSError as error:
        raise LibraryNotFoundError(f"cannot open the library {library!r}: {error}") from None
    try:
        function = opened[name]
    except AttributeError:
        raise SymbolNotFoundError(f"{library or 'this process'} has no symbol {name!r}") from None
    address = ctypes.cast(function, ctypes.c_void_p).value or 0
    return NativeFunction(address, parsed, name=name, owner=opened, library=library)


_PYTHON_KINDS = (types.FunctionType, types.MethodType, type)


def is_native(obj: Any) -> bool:
    """Whether `native(obj)` would take it without a signature, or refuse it only for its types."""
    kind = type(obj)
    if kind is NativeFunction:
        return True
    if kind in _PYTHON_KINDS or obj is None:
        return False
    return _source(obj) is not None


def _source(obj: Any) -> str | None:
    """Which of the adapters below an object is for."""
    kind = type(obj)
    if isinstance(obj, ffi.CData):
        ctype = ffi.typeof(obj)
        return (
            "cffi" if ctype.kind == "function" or (ctype.kind == "pointer" and ctype.item.kind == "function") else None
        )
    if kind is types.BuiltinFunctionType:
        return "cffi" if type(obj.__self__).__name__ == "Lib" and _is_cffi_function(obj) else None
    if kind.__name__ == "PyCapsule" and kind.__module__ == "builtins":
        return "capsule"
    if (ctypes := sys.modules.get("ctypes")) is not None and isinstance(obj, ctypes._CFuncPtr):
        return "ctypes"
    if kind.__module__.partition(".")[0] == "numba" and hasattr(obj, "address") and hasattr(obj, "ctypes"):
        return "numba"
    if kind.__name__ == "LowLevelCallable" and isinstance(obj, tuple):
        return "scipy"
    return None


def _is_cffi_function(obj: Any) -> bool:
    try:
        ffi.typeof(obj)
    except TypeError:
        return False
    return True


def _adapt(obj: Any, declared: Signature | None) -> NativeFunction | None:
    if isinstance(obj, int) and not isinstance(obj, bool):
        if declared is None:
            raise TypeError(f"the address {obj:#x} needs a signature")
        return NativeFunction(obj, declared)
    source = _source(obj)
    if source is None:
        return None
    adapters = {
        "cffi": _from_cffi,
        "ctypes": _from_ctypes,
        "capsule": _from_capsule,
        "numba": _from_numba,
        "scipy": _from_scipy,
    }
    return adapters[source](obj, declared)


def _from_cffi(obj: Any, declared: Signature | None) -> NativeFunction:
    ctype = ffi.typeof(obj)
    if isinstance(obj, ffi.CData):
        pointer, name = obj, ""
    else:
        pointer, name = ffi.addressof(obj.__self__, obj.__name__), obj.__name__
    return NativeFunction(int(ffi.cast("uintptr_t", pointer)), from_cffi_function(ctype), name=name, owner=obj)


def _from_ctypes(obj: Any, declared: Signature | None) -> NativeFunction:
    import ctypes

    name = getattr(obj, "__name__", "")
    if obj._flags_ & 4:  # FUNCFLAG_PYTHONAPI
        raise TypeError(
            f"{name or 'a PYFUNCTYPE function'} expects the GIL to be held, and a native thread never takes it"
        )
    if obj.argtypes is None and declared is None:
        raise TypeError(f"the ctypes function {name or obj} declares no argtypes: set them, or pass a signature")
    address = ctypes.cast(obj, ctypes.c_void_p).value or 0
    if obj.argtypes is None and declared is not None:
        return NativeFunction(address, declared, name=name, owner=obj)
    result = VOID if obj.restype is None else _ctypes_type(obj.restype)
    return NativeFunction(address, Signature(result, tuple(map(_ctypes_type, obj.argtypes))), name=name, owner=obj)


_CTYPES_CODES = {
    "c": "char", "b": "signed char", "B": "unsigned char", "h": "short", "H": "unsigned short", "i": "int",
    "I": "unsigned int", "l": "long", "L": "unsigned long", "q": "long long", "Q": "unsigned long long", "f": "float",
    "d": "double", "?": "_Bool", "g": "long double", "u": "wchar_t",
}  # fmt: skip


def _ctypes_type(kind: Any) -> CType:
    """The C type of a ctypes type."""
    import ctypes

    if issubclass(kind, (ctypes._Pointer, ctypes.Array)):
        item = kind._type_
        if isinstance(getattr(item, "_type_", None), str) and item._type_ in _CTYPES_CODES:
            return pointer_to(ffi.typeof(_CTYPES_CODES[item._type_]), None)
        return CType("pointer", 8, False, f"{item.__name__} *")
    if issubclass(kind, ctypes._CFuncPtr):  # type: ignore[attr-defined]
        return CType("pointer", 8, False, "void (*)()")
    code = getattr(kind, "_type_", None)
    if code in ("P", "z", "Z"):
        return pointer_to(ffi.typeof({"P": "void", "z": "char", "Z": "wchar_t"}[code]), None)
    if not isinstance(code, str) or code not in _CTYPES_CODES:
        raise TypeError(f"ctypes.{kind.__name__} by value is not supported: pass a pointer to it")
    return from_cffi(ffi.typeof(_CTYPES_CODES[code]))


def _from_numba(obj: Any, declared: Signature | None) -> NativeFunction:
    typed = _from_ctypes(obj.ctypes, declared)
    return NativeFunction(int(obj.address), typed.parsed, name=getattr(obj, "__name__", ""), owner=obj)


def _from_capsule(obj: Any, declared: Signature | None) -> NativeFunction:
    import ctypes

    api = ctypes.pythonapi
    get_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", api))
    get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(("PyCapsule_GetPointer", api))
    name = get_name(obj)
    if name is None and declared is None:
        raise TypeError("a PyCapsule without a name does not tell its signature: pass one")
    own = declared if name is None else parse(name.decode())
    assert own is not None
    return NativeFunction(get_pointer(obj, name) or 0, own, owner=obj)


def _from_scipy(obj: Any, declared: Signature | None) -> NativeFunction:
    found = _from_capsule(tuple.__getitem__(obj, 0), declared)
    return NativeFunction(found.address, found.parsed, owner=obj)
