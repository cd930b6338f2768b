"""A flag that stops parallel loops, and that native functions can read."""

from __future__ import annotations

from typing import Any

from kthreads._native import ffi, lib

__all__ = ["CancelToken"]


class CancelToken:
    """Stops the loops that it is given to (``cancel=``), from any thread, for good.

    Passed among a body's arguments, for a parameter ``const volatile int *``, it is the address of an int that is not 0
    once the token is cancelled: a long chunk can look at it and return early.
    """

    __slots__ = ("cdata",)

    def __init__(self) -> None:
        self.cdata: Any = ffi.new("int32_t *")

    def cancel(self) -> None:
        """Stops what it was given to: no further chunk is handed out. Safe in signal handlers."""
        lib.kt_cancel(self.cdata)

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return bool(self.cdata[0])

    def __repr__(self) -> str:
        return f"<CancelToken {'cancelled' if self.cancelled else 'not cancelled'}>"
