"""The objects that stand for native functions: of cffi, ctypes, numba and SciPy, capsules of Cython, and addresses."""

from __future__ import annotations

import ctypes
import re
import types
from collections.abc import Callable
from typing import Any, NoReturn

from kthreads._native import ffi, lib
from kthreads.functions.declaration import parse
from kthreads.functions.foreign_memory import CTypesFunction, address_of_ctypes
from kthreads.functions.foreign_types import from_cffi_function, from_ctypes_function
from kthreads.functions.function import NativeFunction
from kthreads.functions.seen import remember, seen
from kthreads.functions.signature import Signature, signature_of

__all__ = ["is_native", "native"]

_Adapter = Callable[[Any, "Signature | None"], NativeFunction]

_cast = ffi.cast
_CData: Any = ffi.CData
_Lib: Any = type(lib)
_PYTHON_API = 4  # FUNCFLAG_PYTHONAPI of ctypes
# Types of objects that are looked at often and are never native.
_PYTHON_KINDS = frozenset([types.FunctionType, types.MethodType, type, type(None)])
_capsule_name: Any = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
_capsule_pointer: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
    ("PyCapsule_GetPointer", ctypes.pythonapi)
)

# The parameter that Cython adds to functions that Python can call, too. Functions outside of classes ignore it.
_CYTHON_FLAG = re.compile(r",? *int __pyx_skip_dispatch(?=\))")


def native(obj: Any, signature: str | None = None) -> NativeFunction:
    """The native function that an object stands for.

    Args:
        obj: a cffi function pointer or function of an API-mode module; a ctypes function with argtypes and restype,
            or a ctypes callback; a numba cfunc; a PyCapsule that is named by its signature (Cython's
            ``__pyx_capi__``); a scipy LowLevelCallable, whose user data is not passed; an address; or a NativeFunction.
        signature: as C declares it. Needed for an address, and for a ctypes function without argtypes or restype. For all
            other objects it may add what is const, which they do not know; it must agree with their own types.

    Raises:
        TypeError: the object is none of these, or an argument does not fit in one register, or it disagrees with the
            signature; the message says why.
        ValueError: it is NULL.
    """
    if signature is None:
        if type(obj) is NativeFunction:
            return obj
        if (known := seen(obj)) is not None:
            return known
    stated = None if signature is None else parse(signature)
    if isinstance(obj, NativeFunction):
        found = obj
    elif isinstance(obj, int) and not isinstance(obj, bool):
        found = _from_address(obj, stated)
    elif (adapt := _adapter(obj)) is not None:
        found = adapt(obj, stated)
    else:
        _refuse(obj)
    if stated is None:
        remember(obj, found)
        return found
    if stated == found.parsed:
        return found
    if (reason := stated.disagreement(found.parsed)) is not None:
        raise TypeError(f"signature {stated} does not agree with the function's own, {found.parsed}: {reason}")
    return found.with_signature(stated)


def is_native(obj: Any) -> bool:
    """Whether an object stands for a native function by itself. Cheap, and never raises.

    An int does not: it is an address only where a signature comes with it.
    """
    kind = type(obj)
    if kind in _PYTHON_KINDS:
        return False
    if kind is types.BuiltinFunctionType:
        return type(obj.__self__) is _Lib
    return isinstance(obj, NativeFunction) or _adapter(obj) is not None


def _adapter(obj: Any) -> _Adapter | None:
    """The adapter that makes a native function of an object of this type; None where there is none."""
    kind = type(obj)
    if isinstance(obj, _CData):
        return _from_cffi_pointer if ffi.typeof(obj).kind == "function" else None
    if isinstance(obj, types.BuiltinFunctionType):
        return _from_cffi_library if type(obj.__self__) is _Lib else None
    if isinstance(obj, CTypesFunction):
        return _from_ctypes
    if _is_capsule(obj):
        return _from_capsule
    if isinstance(obj, tuple):
        return _from_scipy if len(obj) and _is_capsule(tuple.__getitem__(obj, 0)) else None
    return _from_numba if hasattr(kind, "address") and hasattr(kind, "ctypes") else None


def _refuse(obj: Any) -> NoReturn:
    """Raises TypeError, with advice."""
    kind = type(obj)
    advice = ""
    if kind.__module__.partition(".")[0] == "numba":
        advice = "; compile it with numba.cfunc and a signature, which numba.njit functions lack"
    elif callable(obj):
        advice = "; Python callables run by Thread(target=target), not as native functions"
    raise TypeError(
        f"{kind.__name__} is not a native function: pass a function of cffi or ctypes, a numba cfunc, a PyCapsule "
        f"of Cython, or an address with its signature{advice}"
    )


def _from_address(address: int, stated: Signature | None) -> NativeFunction:
    if stated is None:
        raise TypeError(f"the address {address:#x} needs a signature, which gives its types: pass signature=")
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
    _check_result_is_raw(obj, name)
    address = address_of_ctypes(obj)
    result, parameters = from_ctypes_function(obj)
    if stated is None and (parameters is None or result is None):
        missing = " and no ".join(["argtypes"] * (parameters is None) + ["restype"] * (result is None))
        raise TypeError(f"the ctypes function {name or obj} declares no {missing}: set it, or pass signature=")
    if stated is not None and parameters is None:
        return NativeFunction(address, stated, name=name, owner=obj)
    if result is None:
        assert stated is not None
        result = stated.result
    return NativeFunction(address, signature_of(result, parameters or ()), name=name, owner=obj)


def _check_result_is_raw(obj: Any, name: str) -> None:
    """Raises TypeError for a function of ctypes whose result Python code looks at before its caller gets it."""
    if obj.errcheck is not None:
        what = "an errcheck"
    elif hasattr(obj.restype, "_check_retval_"):
        what = f"the restype {obj.restype.__name__}, which checks the result"
    else:
        return
    raise TypeError(
        f"the ctypes function {name or obj} has {what}, and a native call does not run Python code: "
        "use kthreads.symbol(), and check the result yourself"
    )


def _from_numba(obj: Any, stated: Signature | None) -> NativeFunction:
    own = _from_ctypes(obj.ctypes, None).parsed
    return NativeFunction(int(obj.address), own, name=getattr(obj, "__name__", ""), owner=obj)


def _is_capsule(obj: Any) -> bool:
    kind = type(obj)
    return kind.__name__ == "PyCapsule" and kind.__module__ == "builtins"


def _from_capsule(obj: Any, stated: Signature | None) -> NativeFunction:
    name = _capsule_name(obj)
    if stated is None and name is None:
        raise TypeError("a PyCapsule without a name does not give its types: pass signature=")
    try:
        own = parse(_CYTHON_FLAG.sub("", name.decode())) if name is not None else stated
    except TypeError as error:
        if stated is None:
            raise TypeError(
                f"the name of the PyCapsule is not a signature that can be called; pass signature=: {error}"
            ) from None
        own = stated
    assert own is not None
    return NativeFunction(_capsule_pointer(obj, name) or 0, own, owner=obj)


def _from_scipy(obj: Any, stated: Signature | None) -> NativeFunction:
    found = _from_capsule(tuple.__getitem__(obj, 0), stated)
    return NativeFunction(found.address, found.parsed, owner=obj)
