"""What turns a Python value into a C argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["Converter", "type_name"]

Converter = Callable[[Any, list[Any]], Any]
"""A converter takes a value, and a list to which it adds the objects that must stay alive until the call has ended. It
returns the number for the argument's word.

It raises TypeError for a value of a wrong type, OverflowError for a number out of range, and ValueError for a buffer that
is not contiguous or was released. The message does not say which argument it was: `NativeFunction.bind` adds that.
"""


def type_name(value: Any) -> str:
    """The name of a value's type, for a message."""
    return type(value).__name__
