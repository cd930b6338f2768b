"""Values of options: numbers within bounds, sizes, CPUs, descriptors, users and groups, signals. Each function is, or makes,
an argparse type."""

from __future__ import annotations

import argparse
import grp
import os
import pwd
import re
import signal
from collections.abc import Callable

from kthreads.processes.idmap import HIGHEST

__all__ = [
    "cpu_count",
    "cpu_list",
    "descriptor",
    "group",
    "mode",
    "number",
    "positive",
    "signal_number",
    "size",
    "user",
]

_HIGHEST_SIZE = 2**63 - 1  # bytes, as the kernel counts those of files and limits


def number(what: str, lowest: int, highest: int) -> Callable[[str], int]:
    """The type of a decimal number within bounds.

    Args:
        what: what it is, for a message.
    """

    def parse(text: str) -> int:
        if re.fullmatch(r"\s*[+-]?[0-9]{1,20}", text, re.ASCII) and lowest <= int(text) <= highest:
            return int(text)
        raise argparse.ArgumentTypeError(f"failed to parse {what} {text!r}: a number from {lowest} to {highest}")

    return parse


positive = number("number", 1, 2**31 - 1)
"""The type of an argument that counts something."""
_cpu = number("CPU", 0, 2**16 - 1)


def descriptor(text: str) -> int:
    """A descriptor that the caller has opened."""
    fd = number("descriptor", 0, 2**31 - 1)(text)
    try:
        os.fstat(fd)
    except OSError:
        raise argparse.ArgumentTypeError(f"not an open descriptor: {text!r}") from None
    return fd


def size(text: str) -> int:
    """A number of bytes, with a unit of 1024 or without."""
    found = re.fullmatch(r"([0-9]{1,20}(?:\.[0-9]{1,20})?)([bkmgtpe]?)(?:i?b)?", text.lower(), re.ASCII)
    unit = "" if found is None else found[2].strip("b")
    count = 0 if found is None else int(float(found[1]) * 1024 ** " kmgtpe".index(unit or " "))
    if not 0 < count <= _HIGHEST_SIZE:
        raise argparse.ArgumentTypeError(f"not a size, such as 64M or 1.5G: {text!r}")
    return count


def mode(text: str) -> int:
    """The mode of a file, in octal."""
    if re.fullmatch(r"0?[0-7]{1,4}", text) is None:
        raise argparse.ArgumentTypeError(f"not the mode of a file, such as 755: {text!r}")
    return int(text, 8)


def cpu_count(text: str) -> float:
    """A number of CPUs, which may be a fraction."""
    # The least quota that the kernel takes is 1 ms of a period of 100.
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{0,20})?|\.[0-9]{1,20}", text) is None or float(text) < 0.01:
        raise argparse.ArgumentTypeError(f"not a number of CPUs from 0.01 to 999999, such as 1.5: {text!r}")
    return float(text)


def cpu_list(text: str) -> frozenset[int]:
    """A list of CPUs and of ranges of them (cpuset(7))."""
    cpus: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.partition("-")
        lowest, highest = _cpu(first), _cpu(last if dash else first)
        if lowest > highest:
            raise argparse.ArgumentTypeError(f"not a list of CPUs, such as 0-2,4: {text!r}")
        cpus |= set(range(lowest, highest + 1))
    return frozenset(cpus)


def user(text: str) -> int:
    """The id of a user, from its name or number."""
    try:
        return pwd.getpwnam(text).pw_uid
    except (KeyError, ValueError):
        return number("uid", 0, HIGHEST)(text)


def group(text: str) -> int:
    """The id of a group, from its name or number."""
    try:
        return grp.getgrnam(text).gr_gid
    except (KeyError, ValueError):
        return number("gid", 0, HIGHEST)(text)


def signal_number(text: str) -> int:
    """The number of a signal, from its name: `TERM`, `SIGTERM`, `RTMIN+1`."""
    name = text.upper().removeprefix("SIG")
    real_time = re.fullmatch(r"RT(MIN\+|MAX-)?([0-9]{1,2})", name, re.ASCII)
    if real_time:
        offset = int(real_time[2])
        found = signal.SIGRTMAX - offset if real_time[1] == "MAX-" else signal.SIGRTMIN + offset
        if signal.SIGRTMIN <= found <= signal.SIGRTMAX:
            return found
    elif not name.startswith("RT") and f"SIG{name}" in signal.Signals.__members__:
        return signal.Signals[f"SIG{name}"]
    raise argparse.ArgumentTypeError(f"unknown signal: {text!r}, which is to be a name such as TERM")
