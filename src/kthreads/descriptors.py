"""Descriptors that an exception does not lose, wherever the handler of a signal raises it."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import repeat, starmap
from types import TracebackType
from typing import Any, Self

__all__ = ["Descriptors"]


class Descriptors(list[int]):
    """Open descriptors, to be closed at the end of a `with` block, or with this object.

    A handler runs between two instructions of Python code, never within a call into C. So a descriptor comes into the
    list, and is taken out and closed, by one such call.
    """

    def open(self, opener: Callable[..., int], *arguments: Any) -> int:
        """Calls a function of C that opens a descriptor; holds that and returns it. A negative number is none."""
        self.extend(starmap(opener, (arguments,)))
        return self[-1] if self[-1] >= 0 else self.pop()

    def close(self) -> None:
        """Closes all."""
        for _ in map(os.close, map(self.pop, repeat(-1, len(self)))):
            pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    __del__ = close
