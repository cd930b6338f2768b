"""Arguments that are whole numbers."""

from __future__ import annotations

import operator
from typing import Any

__all__ = ["integer", "shown"]

_LONGEST = 256  # bits: the text of a longer number helps nobody, and Python refuses to make one of 4300 digits


def integer(name: str, value: Any) -> int:
    """The int that an argument is. Raises TypeError for a bool and for what is none."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be an int, not bool")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an int, not {type(value).__name__}") from None


def shown(number: int) -> str:
    """A number as messages show it, however long it is."""
    if number.bit_length() <= _LONGEST:
        return str(number)
    return f"{'a negative number' if number < 0 else 'a number'} of {number.bit_length()} bits"
