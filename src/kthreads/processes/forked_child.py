"""A forked child that runs a Python callable: what it does, and what its parent does before the fork."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["flush_standard_streams", "run"]

_STREAMS = "stdout", "stderr"
_parents: list[Any] = []  # kept to the end of the child: their finalizers would write
_NOT_WRITTEN = 120  # the exit status of an interpreter whose standard streams cannot be flushed at its end


def _flush(name: str) -> bool:
    """Flushes a stream; returns whether its buffer is empty. There may be no stream, or an object of any class."""
    stream = getattr(sys, name, None)
    try:
        if stream is not None and not getattr(stream, "closed", False):
            stream.flush()
    except Exception:
        return False
    return True


def flush_standard_streams() -> tuple[str, ...]:
    """Flushes the buffers, which parent and child would both write otherwise. Returns the names of the streams that
    cannot be flushed; the child is made all the same."""
    return tuple(name for name in _STREAMS if not _flush(name))


def run(function: Callable[[], Any], unflushed: Sequence[str]) -> int:
    """Calls a function in a forked child, and returns the exit status: an int or None that the function returns, as
    sys.exit takes it; 1 when it raises.

    Args:
        function: what to call.
        unflushed: the names of the streams whose buffers still hold the parent's text.
    """
    own = [name for name in _STREAMS if name not in unflushed or _renew(name)]
    try:
        status = _status_of(function)
    except BaseException:
        status = 1
        sys.excepthook(*sys.exc_info())
    flushed = [_flush(name) for name in own]
    return status if all(flushed) else status or _NOT_WRITTEN


def _renew(name: str) -> bool:
    """Gives the child a new stream for the same file, as the text in the parent's buffer is not the child's."""
    stream = getattr(sys, name)
    try:
        mode = {"encoding": stream.encoding, "errors": stream.errors, "buffering": 1 if stream.line_buffering else -1}
        new = os.fdopen(stream.fileno(), "w", closefd=False, **mode)
    except Exception:  # an object of another class
        return False
    _parents.append(stream)
    setattr(sys, name, new)
    return True


def _status_of(function: Callable[[], Any]) -> int:
    try:
        result = function()
    except SystemExit as exit_:
        result = exit_.code
    if result is None:
        return 0
    if isinstance(result, int):
        return result & 0xFF
    if getattr(sys, "stderr", None) is not None:
        print(result, file=sys.stderr)
    return 1
