"""What a process may use at most (getrlimit(2)), by the names of `ulimit` and of container engines."""

from __future__ import annotations

import errno
import resource
from collections.abc import Mapping

from kthreads.errors import process_error
from kthreads.record import Record

__all__ = ["RESOURCES", "ResourceLimit", "ResourceLimits", "resource_limits"]

# In the order of their numbers (asm-generic/resource.h).
# fmt: off
RESOURCES = (
    "cpu", "fsize", "data", "stack", "core", "rss", "nproc", "nofile", "memlock", "as", "locks", "sigpending",
    "msgqueue", "nice", "rtprio", "rttime",
)
# fmt: on
UNLIMITED = resource.RLIM_INFINITY
_HIGHEST = 2**64 - 1  # RLIM_INFINITY, as the kernel has it

ResourceLimits = Mapping[str | int, int | tuple[int, int]]
"""How limits may be given: {name or RLIMIT_* of `resource`: (soft, hard), or one number for both}."""


class ResourceLimit(Record):
    """One limit. -1 means that there is none."""

    number: int
    soft: int
    hard: int

    @property
    def name(self) -> str:
        return RESOURCES[self.number]

    @property
    def is_raised(self) -> bool:
        """Whether it is above what this process may have, which needs CAP_SYS_RESOURCE in the host's user namespace."""
        return self.hard % 2**64 > resource.getrlimit(self.number)[1] % 2**64

    def raise_for(self, pid: int) -> None:
        """Lets another process have it.

        Raises:
            ProcessPermissionError: without that capability.
        """
        soft, _ = resource.prlimit(pid, self.number)
        try:
            resource.prlimit(pid, self.number, (soft, self.hard))
        except OSError as error:
            does = f"raise the limit {self.name} to {self.hard}, which needs CAP_SYS_RESOURCE"
            raise process_error(error.errno or errno.EPERM, does, filename=None) from None


def _number_of(name: str | int) -> int:
    if isinstance(name, str):
        known = name.lower().removeprefix("rlimit_")
        if known in RESOURCES:
            return RESOURCES.index(known)
    elif isinstance(name, int) and not isinstance(name, bool) and 0 <= name < len(RESOURCES):
        return name
    raise ValueError(f"there is no limit {name!r}: the names are {', '.join(RESOURCES)} (getrlimit(2))")


def _limit_of(name: str | int, value: int | tuple[int, int]) -> ResourceLimit:
    number = _number_of(name)
    pair = (value, value) if isinstance(value, int) else tuple(value) if isinstance(value, tuple | list) else ()
    if len(pair) != 2 or not all(isinstance(each, int) and not isinstance(each, bool) for each in pair):
        raise TypeError(f"the limit {RESOURCES[number]} must be an int or (soft, hard), not {value!r}")
    soft, hard = pair
    if not all(each == UNLIMITED or 0 <= each < _HIGHEST for each in pair):
        raise ValueError(f"the limit {RESOURCES[number]} must be 0 or more, or -1 for none, not {value!r}")
    if soft % 2**64 > hard % 2**64:
        raise ValueError(f"the soft limit {RESOURCES[number]} is above the hard one: {soft} > {hard}")
    return ResourceLimit(number, soft, hard)


def resource_limits(given: ResourceLimits) -> tuple[ResourceLimit, ...]:
    """The limits that are meant.

    Raises:
        TypeError, ValueError: there is no such limit, or it cannot have this value.
    """
    if not isinstance(given, Mapping):
        raise TypeError(f"rlimits must be a mapping, such as {{'nofile': 1024}}, not {type(given).__name__}")
    return tuple(_limit_of(name, value) for name, value in given.items())
