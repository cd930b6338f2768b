"""The native functions of objects that were seen before, so that an object is looked at once."""

from __future__ import annotations

import ctypes
import weakref
from functools import partial
from typing import Any

from kthreads.functions.function import NativeFunction

__all__ = ["remember", "seen"]

_CTypesFunction: Any = ctypes._CFuncPtr  # type: ignore[attr-defined]

# By the ids of the objects. An entry goes with its object, by one call of C; it does not keep the object alive.
_seen: dict[int, tuple[weakref.ref[Any], NativeFunction, Any]] = {}


def seen(obj: Any) -> NativeFunction | None:
    """The function that was remembered for an object; None if there is none, or if it now declares other types."""
    entry = _seen.get(id(obj))
    if entry is None:
        return None
    reference, found, declared = entry
    alive: Any = reference()
    if alive is not obj:  # which has just ended
        return None
    if declared is not None:  # and the object is a function of ctypes
        argtypes, restype, errcheck = declared
        if alive.argtypes is not argtypes or alive.restype is not restype or alive.errcheck is not errcheck:
            return None
    known: NativeFunction = found.with_owner(obj)
    return known


def remember(obj: Any, found: NativeFunction) -> None:
    """Remembers the function that an object stands for, as long as there is the object.

    A function of ctypes is remembered with the types that it declares, which may be set again. No object is remembered to
    which there are no weak references.
    """
    if isinstance(obj, (int, NativeFunction)):
        return
    declared = (obj.argtypes, obj.restype, obj.errcheck) if isinstance(obj, _CTypesFunction) else None
    try:
        reference = weakref.ref(obj, partial(_seen.pop, id(obj)))
    except TypeError:
        return
    _seen[id(obj)] = (reference, found.with_owner(None), declared)
