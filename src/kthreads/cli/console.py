"""The console that commands print tables on."""

from __future__ import annotations

import rich.console

__all__ = ["Console"]

_LEAST, _UNKNOWN = 20, 80  # columns


class Console(rich.console.Console):
    """Rich's console on standard output, or on standard error.

    Its width is the terminal's, or that of the variable COLUMNS. A width of 0, which means that it is not known, becomes 80,
    and one below 20, in which no table can be read, 20.

    Args:
        width: in columns, instead of these.
    """

    def __init__(self, *, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(stderr=stderr, width=width)
        if width is None:
            self.width = max(self.width or _UNKNOWN, _LEAST)
