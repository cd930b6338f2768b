"""Checks of what `Process` and `clone` are given. A number that the kernel would cut to 32 bits is an error here."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

__all__ = ["check_arguments", "check_cgroup", "check_number", "check_numbers", "check_path", "check_signal"]

_HIGHEST = 2**31 - 1
_LAST_SIGNAL = 64


def check_number(what: str, number: int, lowest: int, highest: int = _HIGHEST) -> int:
    """Returns an int.

    Raises:
        TypeError, ValueError: it is none, or out of range.
    """
    if not isinstance(number, int) or isinstance(number, bool):
        raise TypeError(f"{what} must be an int, not {number!r}")
    if not lowest <= number <= highest:
        raise ValueError(f"{what} must be {lowest} to {highest}, not {number}")
    return number


def check_numbers(what: str, numbers: Iterable[int], lowest: int) -> list[int]:
    """Returns ints, as a list. Raises as `check_number`."""
    if not isinstance(numbers, Iterable) or isinstance(numbers, str | bytes):
        raise TypeError(f"{what} must be a list of ints, not {numbers!r}")
    return [check_number(f"each of {what}", number, lowest) for number in numbers]


def check_signal(what: str, number: int) -> int:
    """Returns the number of a signal. Raises as `check_number`."""
    return check_number(what, number, 1, _LAST_SIGNAL)


def check_path(what: str, path: Any) -> str:
    """Returns a path as a str.

    Raises:
        TypeError: it is none.
        ValueError: it is empty, which means no file for the kernel, or has a null character, at which the kernel cuts it.
    """
    if not isinstance(path, str) and (not isinstance(path, os.PathLike) or not isinstance(path.__fspath__(), str)):
        raise TypeError(f"{what} must be a path, not {path!r}")
    text = os.fspath(path)
    if text == "" or "\0" in text:
        raise ValueError(f"{what} must be a path, not {text!r}")
    return text


def check_arguments(what: str, arguments: Iterable[Any]) -> tuple[Any, ...]:
    """Returns the arguments of a function."""
    if not isinstance(arguments, Iterable):
        raise TypeError(f"{what} must be a list of arguments, not {arguments!r}")
    return tuple(arguments)


def check_cgroup(cgroup: Any) -> None:
    """Raises TypeError or ValueError if it is neither a path nor a descriptor."""
    if isinstance(cgroup, int):
        check_number("the descriptor of cgroup", cgroup, 0)
    elif cgroup is not None and not isinstance(cgroup, str | bytes | os.PathLike):
        raise TypeError(f"cgroup must be the folder of a cgroup or a descriptor of it, not {cgroup!r}")
