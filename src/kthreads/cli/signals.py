"""Signals to a command, for a loop that handles them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable
from types import FrameType
from typing import Any

__all__ = ["Signals"]

_PART = 1 << 16


class Signals:
    """Collects signals, as a context manager. Their handler only notes them, so it may interrupt whatever it likes, and any
    number of them may come at once. `fileno` can be read when `take` has some. Handlers are not called in the order in which
    signals come: of a SIGTSTP and a SIGCONT that came together, SIGCONT counts.

    Args:
        numbers: those to collect. All others stay as they are.
    """

    def __init__(self, numbers: Iterable[int]) -> None:
        self._numbers = tuple(numbers)
        self._noted: dict[int, None] = {}  # each once

    def __enter__(self) -> Signals:
        self._reader, self._writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        self._handlers: dict[int, Any] = {number: signal.signal(number, self._note) for number in self._numbers}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._reader)
        os.close(self._writer)

    def _note(self, number: int, _: FrameType | None) -> None:
        self._noted[number] = None

    def fileno(self) -> int:
        return self._reader

    def take(self) -> list[int]:
        """The signals that have come since the last call."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self._reader, _PART)) == _PART:
                pass
        noted = list(self._noted)
        for number in noted:
            del self._noted[number]
        if signal.SIGTSTP in noted and signal.SIGCONT in noted:
            noted.remove(signal.SIGTSTP)
        return noted

    def has(self, number: int) -> bool:
        """Whether `take` has this signal."""
        return number in self._noted
