"""Native functions: where they come from, and how they are called."""

from __future__ import annotations

import copy
import ctypes
import errno
import gc
import os
import re
import struct
import types
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from kthreads._native import ffi, lib
from kthreads.errors import LibraryMismatchError, LibraryNotFoundError, SymbolNotFoundError
from kthreads.functions import build_id
from kthreads.functions.c_types import CType
from kthreads.functions.call_plan import INTEGERS_AT, plan_of
from kthreads.functions.declaration import parse
from kthreads.functions.foreign_types import from_cffi_function, from_ctypes
from kthreads.functions.signature import Signature

__all__ = ["Call", "NativeFunction", "is_native", "native", "symbol"]

_CALL = ffi.typeof("kt_call *")
_new, _buffer, _cast = ffi.new, ffi.buffer, ffi.cast
_CData: Any = ffi.CData
_Lib: Any = type(lib)
_CTypesFunction: Any = ctypes._CFuncPtr  # type: ignore[attr-defined]
_PYTHON_API = 4  # FUNCFLAG_PYTHONAPI of ctypes


# ---- A call ----------------------------------------------------------------------------------------------------------


class Call:
    """A native function with its arguments, ready to run on any thread.

    What the arguments point to is kept alive, and buffers stay locked against resizing, until `finish`, or as long
    as the call lives.

    Attributes:
        function: what is called.
        cdata: the ``kt_call *`` that it fills, owned by this object.
        keepalive: what the arguments point to.
    """

    __slots__ = ("cdata", "function", "keepalive")

    def __init__(self, function: NativeFunction, cdata: Any, keepalive: Sequence[Any]) -> None:
        self.function = function
        self.cdata = cdata
        self.keepalive = keepalive

    def run(self) -> Any:
        """Runs the call on the calling thread, without the GIL, and returns the result."""
        lib.kt_call_run(self.cdata)
        return self.result

    def finish(self) -> None:
        """Lets go of the arguments: the call has ended, on this thread or on another."""
        self.keepalive = ()

    @property
    def result(self) -> Any:
        """What the function returned, as the Python value of its C type; meaningless before the call has ended."""
        return self.function.read(self.cdata.result)

    @property
    def errno(self) -> int:
        """errno as the function left it; it was 0 when the function began."""
        return int(self.cdata.error)


# ---- A function ------------------------------------------------------------------------------------------------------


class NativeFunction:
    """A C function: its address, its signature, and the object that keeps it loaded. Made by `native` and `symbol`.

    Called, it runs on the calling thread without the GIL. The result is the Python value of the C type: an int, a
    float, a bool, bytes of length 1 for char, None for void, a cffi ``char *`` for that and a ``void *`` for all other
    pointers. `bind` gives a `Call`, which also tells errno.

    Attributes:
        address: where it is in memory.
        signature: its canonical C text, such as ``double(int, const double *)``.
        name: its name, or its address in hexadecimal where it has none.
        owner: what keeps it in memory.
        parsed: the signature taken apart.
        plan: how its arguments are converted.
        template: a ``kt_call`` of it without arguments.
        spares: memory that its parallel loops use again.
        library: the library that `symbol` found it in; None for this process and for functions of other sources.

    Two are equal when address and signature are, however the types are spelled. One that `symbol` made can be pickled:
    it is looked up again by library and name. Where it is not found, or in another build of the library, as told by the
    build-id, each use of it raises LibraryNotFoundError, SymbolNotFoundError or LibraryMismatchError.
    """

    __slots__ = ("_from_symbol", "address", "library", "name", "owner", "parsed", "plan", "spares", "template")

    def __init__(
        self,
        address: int,
        signature: Signature,
        *,
        name: str = "",
        owner: Any = None,
        library: str | None = None,
        from_symbol: bool = False,
    ) -> None:
        if not address:
            raise ValueError(f"NULL function: {name or 'a function'} '{signature}' has address 0")
        self.address = address
        self.parsed = signature
        self.name = name or f"{address:#x}"
        self.owner = owner
        self.library = library
        self._from_symbol = from_symbol
        self.plan = plan_of(signature)
        template = _new(_CALL)
        template.function = _cast("kt_function", address)
        template.kind = _result_kind(signature.result)
        self.template = template[0]
        self.spares: list[Any] = []

    @property
    def signature(self) -> str:
        return self.parsed.text

    @property
    def __name__(self) -> str:
        return self.name

    def read(self, word: int) -> Any:
        """The Python value of a result, from the 64 bits that the function left in its return register."""
        return self.plan.read(word)

    def bind(self, args: Sequence[Any]) -> Call:
        """A call with these arguments, converted and checked.

        Raises:
            TypeError: the number of arguments is wrong, or the type of one; or it is read-only and its parameter is
                not const.
            OverflowError: a number is out of the range of its parameter.
            ValueError: a buffer is not C-contiguous, or was released; a str has a NUL in it.
                The message tells which argument, what is wrong and what to do.
        """
        cdata = _new(_CALL, self.template)
        return Call(self, cdata, self.fill(_buffer(cdata), args))

    def fill(self, memory: Any, args: Sequence[Any]) -> Sequence[Any]:
        """Writes the arguments into memory that begins with a ``kt_call`` that is a copy of `template`.

        Returns what must stay alive until the call has ended. Raises as `bind`.
        """
        plan = self.plan
        if len(args) != plan.count:
            raise TypeError(f"{self.name} takes {plan.count} arguments ({self.signature}), not {len(args)}")
        if not args:
            return ()
        keep: list[Any] = []
        try:
            plan.pack_into(memory, INTEGERS_AT, *plan.words(args, keep))
        except (struct.error, TypeError, ValueError, OverflowError):
            keep.clear()
            words = [self.convert(number, value, keep) for number, value in enumerate(args)]
            plan.pack_into(memory, INTEGERS_AT, *plan.in_order(words))
        return keep

    def convert(self, number: int, value: Any, keep: list[Any]) -> Any:
        """The word for one argument; its failure says which argument it was. Adds what must stay alive to `keep`."""
        try:
            return self.plan.strict[number](value, keep)
        except (TypeError, OverflowError, ValueError) as error:
            kind = next(kind for kind in (TypeError, OverflowError, ValueError) if isinstance(error, kind))
            raise kind(f"{self.name}() argument {number + 1}: {error}") from None

    def __call__(self, *args: Any) -> Any:
        return self.bind(args).run()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NativeFunction):
            return NotImplemented
        return self.address == other.address and self.parsed.abi == other.parsed.abi

    def __hash__(self) -> int:
        return hash((self.address, self.parsed.abi))

    def __repr__(self) -> str:
        origin = f" of {self.library}" if self.library else ""
        return f"<NativeFunction {self.name}{origin}: {self.signature}>"

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._from_symbol:
            raise TypeError(
                f"{self.name} cannot be pickled: an address means nothing elsewhere; take it from a library with symbol()"
            )
        build = build_id.identity(self.address)
        if build is None:
            raise TypeError(
                f"{self.name} cannot be pickled: its library has no build-id, and the file {self.library} cannot be read"
            )
        return _same_symbol, (self.library, self.name, self.signature, build)


def _result_kind(result: CType) -> int:
    if result.kind == "void":
        return int(lib.KT_RESULT_NONE)
    return int(lib.KT_RESULT_FLOAT if result.kind == "float" else lib.KT_RESULT_INTEGER)


# ---- Where native functions come from --------------------------------------------------------------------------------


def native(obj: Any, signature: str | None = None) -> NativeFunction:
    """The native function that an object stands for.

    Args:
        obj: a cffi function pointer or function of an API-mode module; a ctypes function with argtypes and restype,
            or a ctypes callback; a numba cfunc; a PyCapsule that is named by its signature (Cython's
            ``__pyx_capi__``); a scipy LowLevelCallable, whose user data is not passed; an address; or a NativeFunction.
        signature: as C declares it. Needed for an address, and for a ctypes function that does not tell its types. With
            all others it may state what they do not know, which is what is const; it must agree with them otherwise.

    Raises:
        TypeError: it is none of these, or cannot be called from registers, or disagrees with the signature; the
            message says why.
        ValueError: it is NULL.
    """
    stated = None if signature is None else parse(signature)
    if isinstance(obj, NativeFunction):
        found = obj
    elif isinstance(obj, int) and not isinstance(obj, bool):
        found = _from_address(obj, stated)
    elif (adapt := _adapter(obj)) is not None:
        found = adapt(obj, stated)
    else:
        _refuse(obj)
    if stated is None or stated == found.parsed:
        return found
    if (reason := stated.disagreement(found.parsed)) is not None:
        raise TypeError(f"signature {stated} does not agree with the function's own, {found.parsed}: {reason}")
    return NativeFunction(
        found.address,
        stated,
        name=found.name,
        owner=found.owner,
        library=found.library,
        from_symbol=found._from_symbol,
    )


def symbol(library: str | os.PathLike[str] | None, name: str, signature: str) -> NativeFunction:
    """A function of a shared library, which stays loaded.

    Args:
        library: what dlopen(3) takes, such as "libz.so.1" or a path; None for what this process has loaded already.
        name: of the function.
        signature: as C declares it, such as ``unsigned long(unsigned long, const unsigned char *, unsigned int)``.

    Raises:
        LibraryNotFoundError: the library cannot be opened; an OSError.
        SymbolNotFoundError: it has no such function; an AttributeError.
        TypeError: the signature is not one that can be called from registers.
    """
    stated = parse(signature)
    path = None if library is None else os.fspath(library)
    try:
        opened = ctypes.CDLL(path)
    except OSError as error:
        raise LibraryNotFoundError(errno.ELIBACC, f"cannot open the library {path!r}: {error}", path) from None
    try:
        function = opened[name]
    except AttributeError:
        raise SymbolNotFoundError(f"{path or 'this process'} has no symbol {name!r}") from None
    return NativeFunction(_address_of(function), stated, name=name, owner=opened, library=path, from_symbol=True)


class _MissingFunction(NativeFunction):
    """What was unpickled where it cannot be had. It has neither address nor plan, and every use of these raises why.

    Not unpickling itself: there an exception kills the worker processes of multiprocessing and of dask, instead of
    coming home as that of the task. It can be pickled again, and so pass through where it is not used.
    """

    __slots__ = ("_build", "_error")

    def __init__(self, error: Exception, library: str | None, name: str, signature: str, build: str) -> None:
        self.library, self.name, self.parsed, self.owner = library, name, parse(signature), None
        self._build, self._error, self._from_symbol = build, error, True

    def __getattr__(self, name: str) -> NoReturn:
        if name in NativeFunction.__slots__:
            raise copy.copy(self._error)
        raise AttributeError(name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _same_symbol, (self.library, self.name, self.signature, self._build)


def _same_symbol(library: str | None, name: str, signature: str, build: str) -> NativeFunction:
    """What `symbol` finds, if it is of a certain build of its library."""
    try:
        function = symbol(library, name, signature)
        here = build_id.identity(function.address)
        if here != build:
            raise LibraryMismatchError(library or "this process", name, build, here or "unknown")
    except (LibraryNotFoundError, SymbolNotFoundError, LibraryMismatchError) as error:
        return _MissingFunction(error.with_traceback(None), library, name, signature, build)
    return function


_PYTHON_KINDS = frozenset([types.FunctionType, types.MethodType, type, type(None)])


def is_native(obj: Any) -> bool:
    """Whether `native` takes an object for a function without being told that it is one; cheap, and never raises.

    An int is not: it is an address only to who knows its signature.
    """
    kind = type(obj)
    if kind in _PYTHON_KINDS:
        return False
    if kind is types.BuiltinFunctionType:
        return type(obj.__self__) is _Lib
    return isinstance(obj, NativeFunction) or _adapter(obj) is not None


_Adapter = Callable[[Any, "Signature | None"], NativeFunction]


def _adapter(obj: Any) -> _Adapter | None:
    """What makes a native function of an object of this kind."""
    kind = type(obj)
    if isinstance(obj, _CData):
        return _from_cffi_pointer if ffi.typeof(obj).kind == "function" else None
    if isinstance(obj, types.BuiltinFunctionType):
        return _from_cffi_library if type(obj.__self__) is _Lib else None
    if isinstance(obj, _CTypesFunction):
        return _from_ctypes
    if _is_capsule(obj):
        return _from_capsule
    if isinstance(obj, tuple):
        return _from_scipy if len(obj) and _is_capsule(tuple.__getitem__(obj, 0)) else None
    return _from_numba if hasattr(kind, "address") and hasattr(kind, "ctypes") else None


def _refuse(obj: Any) -> NoReturn:
    kind = type(obj)
    advice = ""
    if kind.__module__.partition(".")[0] == "numba":
        advice = "; compile it with numba.cfunc and a signature, which numba.njit functions lack"
    elif callable(obj):
        advice = "; Python callables run by Thread(target), not as native functions"
    raise TypeError(
        f"{kind.__name__} is not a native function: pass a function of cffi or ctypes, a numba cfunc, a PyCapsule "
        f"of Cython, or an address with its signature{advice}"
    )


def _address_of(function: Any) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _from_address(address: int, stated: Signature | None) -> NativeFunction:
    if stated is None:
        raise TypeError(f"the address {address:#x} needs a signature, which tells its types: pass signature=")
    if not 0 <= address < 1 << 64:
        raise ValueError(f"{address} is not an address")
    return NativeFunction(address, stated)


def _from_cffi_pointer(obj: Any, stated: Signature | None) -> NativeFunction:
    return NativeFunction(int(_cast("uintptr_t", obj)), from_cffi_function(ffi.typeof(obj)), owner=obj)


def _from_cffi_library(obj: Any, stated: Signature | None) -> NativeFunction:
    pointer = ffi.addressof(obj.__self__, obj.__name__)
    own = from_cffi_function(ffi.typeof(pointer))
    return NativeFunction(int(_cast("uintptr_t", pointer)), own, name=obj.__name__, owner=obj)


def _from_ctypes(obj: Any, stated: Signature | None) -> NativeFunction:
    name = getattr(obj, "__name__", "")
    if type(obj)._flags_ & _PYTHON_API:
        raise TypeError(f"{name or 'a PYFUNCTYPE function'} needs the GIL, which a native call does not hold")
    address = _address_of(obj)
    # restype is int where nobody has set it, and only the references that a function holds tell the difference.
    tells_result = hasattr(type(obj), "_argtypes_") or any(held is obj.restype for held in gc.get_referents(obj))
    if stated is None and (obj.argtypes is None or not tells_result):
        missing = " and no ".join(["argtypes"] * (obj.argtypes is None) + ["restype"] * (not tells_result))
        raise TypeError(f"the ctypes function {name or obj} declares no {missing}: set that, or pass signature=")
    if stated is not None and obj.argtypes is None:
        return NativeFunction(address, stated, name=name, owner=obj)
    result = from_ctypes(obj.restype) if tells_result or stated is None else stated.result
    own = Signature(result, tuple(map(from_ctypes, obj.argtypes)))
    return NativeFunction(address, own, name=name, owner=obj)


def _from_numba(obj: Any, stated: Signature | None) -> NativeFunction:
    own = _from_ctypes(obj.ctypes, None).parsed
    return NativeFunction(int(obj.address), own, name=getattr(obj, "__name__", ""), owner=obj)


# ---- Capsules ---------------------------------------------------------------------------------------------------------

_capsule_name: Any = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
_capsule_pointer: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)

# What Cython adds to functions that Python can also call; those outside of classes do not look at it.
_CYTHON_FLAG = re.compile(r",? *int __pyx_skip_dispatch(?=\))")


def _is_capsule(obj: Any) -> bool:
    kind = type(obj)
    return kind.__name__ == "PyCapsule" and kind.__module__ == "builtins"


def _from_capsule(obj: Any, stated: Signature | None) -> NativeFunction:
    name = _capsule_name(obj)
    if stated is None and name is None:
        raise TypeError("a PyCapsule without a name does not tell its types: pass signature=")
    try:
        own = parse(_CYTHON_FLAG.sub("", name.decode())) if name is not None else stated
    except TypeError as error:
        if stated is None:
            raise TypeError(
                f"the name of the PyCapsule is no signature that can be called; pass signature=: {error}"
            ) from None
        own = stated
    assert own is not None
    return NativeFunction(_capsule_pointer(obj, name) or 0, own, owner=obj)


def _from_scipy(obj: Any, stated: Signature | None) -> NativeFunction:
    found = _from_capsule(tuple.__getitem__(obj, 0), stated)
    return NativeFunction(found.address, found.parsed, owner=obj)
