"""The call of a Python callable on a thread of its own."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import Any

from kthreads import interpreter
from kthreads._native import ffi, lib

__all__ = ["PythonCall"]

_CALL = ffi.typeof("kt_python_call *")


class PythonCall:
    """What `Call` is for a native function.

    Args:
        callable: called without arguments, and kept alive until `finish`.
        daemon: whether the interpreter may end while it runs.

    Attributes:
        cdata: the ``kt_python_call *``.
    """

    __slots__ = ("_callable", "cdata")

    def __init__(self, callable: Callable[[], object], daemon: bool) -> None:
        self._callable: Callable[[], object] | None = callable
        cdata = self.cdata = ffi.new(_CALL)
        cdata.callable = ffi.cast("void *", id(callable))
        cdata.interpreter, cdata.daemon = interpreter.CDATA, bool(daemon)

    def start(self, cell: Any, spec: Any) -> int:
        """Starts a thread and waits until the callable has begun, as threading does. Ctrl-C works: the thread then stays.

        Args:
            cell: the ``kt_thread **`` for the handle.
            spec: the ``kt_spec *``.

        Returns:
            0, or a negative errno value; there is no thread then.
        """
        code = int(lib.kt_python_start(cell, spec, self.cdata))
        while code == -errno.EINTR:
            code = int(lib.kt_python_await_begin(cell, self.cdata))
        return code

    def finish(self) -> None:
        """Releases the callable."""
        self._callable = None
