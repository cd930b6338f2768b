"""The kinds of namespaces: of a descriptor, and of flags."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator

from kthreads.flags.clone_flags import KINDS, CloneFlags

__all__ = ["kind_of", "kinds_in"]

_GET_KIND = 0xB703  # NS_GET_NSTYPE of linux/nsfs.h


def kind_of(fd: int) -> str | None:
    """The kind of namespace that an open descriptor is of; None for a descriptor of something else."""
    try:
        flag = fcntl.ioctl(fd, _GET_KIND)
    except OSError:
        return None
    return next((kind for kind, its in KINDS.items() if its == flag), None)


def kinds_in(flags: CloneFlags) -> Iterator[str]:
    """The kinds of the namespaces that flags name, in the order of `KINDS`."""
    return (kind for kind, flag in KINDS.items() if flags & flag)
