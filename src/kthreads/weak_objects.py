"""The objects of a kind that exist, without keeping them alive."""

from __future__ import annotations

import weakref
from typing import Any, Generic, TypeVar

__all__ = ["WeakObjects"]

T = TypeVar("T")


class WeakObjects(Generic[T]):
    """A weakref.WeakSet whose steps are one call of C each: neither an interrupt nor another thread comes in between, also on
    a free-threaded build."""

    def __init__(self) -> None:
        self._references: set[weakref.ref[Any]] = set()

    def add(self, item: T) -> None:
        self._references.add(weakref.ref(item, self._references.discard))

    def alive(self) -> list[T]:
        """Those that exist now."""
        return [item for reference in self._references.copy() if (item := reference()) is not None]
