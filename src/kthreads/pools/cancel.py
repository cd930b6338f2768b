"""A flag that stops parallel loops and that native functions can read."""

from __future__ import annotations

from typing import Any

from kthreads._native import ffi, lib

__all__ = ["CancelToken"]


class CancelToken:
    """Stops the loops that it is passed to (``cancel=``). Any thread may cancel it; this cannot be undone.

    As an argument of a body, for a parameter ``const volatile int *``, it is the address of an int that becomes non-zero
    when the token is cancelled. A long chunk can read it and return early.
    """

    __slots__ = ("cdata",)

    def __init__(self) -> None:
        self.cdata: Any = ffi.new("int32_t *")

    def cancel(self) -> None:
        """Stops the loops: their workers begin no more chunks. A signal handler may call it."""
        lib.kt_cancel(self.cdata)

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return bool(self.cdata[0])

    def __repr__(self) -> str:
        return f"<CancelToken {'cancelled' if self.cancelled else 'not cancelled'}>"
