"""What a forked child that runs a Python callable does, and what its parent does before."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["flush_standard_streams", "live"]

_STREAMS = "stdout", "stderr"
_parents: list[Any] = []  # held to the end of the child: they would write as they go
_NOT_WRITTEN = 120  # the exit status of an interpreter whose standard streams cannot be flushed at its end


def _flush(name: str) -> bool:
    """Writes out what is buffered; returns whether nothing is left. There may be no stream, or any object as one."""
    stream = getattr(sys, name, None)
    try:
        if stream is not None and not getattr(stream, "closed", False):
            stream.flush()
    except Exception:
        return False
    return True


def flush_standard_streams() -> tuple[str, ...]:
    """Writes out what is buffered, which parent and child would both write else; returns the names of the streams that
    cannot be written. That is no reason against a child."""
    return tuple(name for name in _STREAMS if not _flush(name))


def live(function: Callable[[], Any], stuck: Sequence[str]) -> int:
    """Calls a function in a forked child, and returns the exit status: an int or None that the function returns, as
    sys.exit takes it; 1 when it raises.

    Args:
        function: what to call.
        stuck: the names of the streams whose buffers are still full of the parent's text.
    """
    own = [name for name in _STREAMS if name not in stuck or _renew(name)]
    try:
        status = _status_of(function)
    except BaseException:
        status = 1
        sys.excepthook(*sys.exc_info())
    flushed = [_flush(name) for name in own]
    return status if all(flushed) else status or _NOT_WRITTEN


def _renew(name: str) -> bool:
    """Gives the child a stream of its own to the same file, as what is in the parent's is not for it to write."""
    stream = getattr(sys, name)
    try:
        mode = {"encoding": stream.encoding, "errors": stream.errors, "buffering": 1 if stream.line_buffering else -1}
        new = os.fdopen(stream.fileno(), "w", closefd=False, **mode)
    except Exception:  # an object of somebody's own
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
