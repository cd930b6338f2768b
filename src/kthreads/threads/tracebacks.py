"""What the tracebacks of an exception keep alive."""

from __future__ import annotations

import inspect
import sys
from contextlib import suppress
from types import FrameType, TracebackType

__all__ = ["release_frames"]

_MAY_GO_ON = inspect.CO_GENERATOR | inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR


def release_frames(exception: BaseException | None) -> None:
    """Releases the local variables of the frames that an exception has left: they would live as long as the Thread, which
    keeps the exception for `result`."""
    seen: set[int] = set()
    pending = [exception]
    while pending:
        raised = pending.pop()
        if raised is not None and id(raised) not in seen:
            seen.add(id(raised))
            _release(raised.__traceback__)
            pending += (raised.__cause__, raised.__context__)
            if isinstance(raised, BaseExceptionGroup):
                pending += raised.exceptions


def _release(traceback: TracebackType | None) -> None:
    while traceback is not None:
        if _is_over(traceback.tb_frame):
            with suppress(RuntimeError):  # it runs; or it is suspended, from CPython 3.13 on
                traceback.tb_frame.clear()
        traceback = traceback.tb_next


def _is_over(frame: FrameType) -> bool:
    """Up to CPython 3.12 clear() closes a suspended generator or coroutine, which the program may go on with."""
    return sys.version_info >= (3, 13) or not frame.f_code.co_flags & _MAY_GO_ON
