"""Attributes that are computed when they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, TypeVar, overload

__all__ = ["Computed"]

T = TypeVar("T")


class Computed(Generic[T]):
    """An attribute that is computed each time it is read. An assignment to an object replaces it there, unlike a property:
    threading does so in a forked child, and subclasses have attributes of their own by these names."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> Computed[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object, owner: type) -> Any:
        if instance is None:
            return self
        try:
            return self._compute(instance)
        finally:
            del instance  # the traceback of an exception refers to this frame
