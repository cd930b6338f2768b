"""The private attributes of threading.Thread that debuggers, profilers and threading itself read.

The constructor of threading.Thread makes them for each thread, which takes longer than the start of a parked thread. Here
they are computed when they are read. (Lib/threading.py, CPython 3.11 to 3.14.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kthreads.errors import ThreadStateError
from kthreads.threads import threading_hooks
from kthreads.threads.computed import Computed

__all__ = ["StandardAttributes", "StandardThread"]

StandardThread = threading.Thread
"""The standard class. Where a program assigns `Thread` to threading.Thread, threading's own subclasses (Timer, the thread
objects of the main thread and of foreign threads) still have this base, and call methods of the other by its name."""


class _End:
    """The end of a thread: as a lock that is held until then (up to 3.12), and as a handle (since 3.13)."""

    def __init__(self, thread: Any) -> None:
        self._thread = thread

    def locked(self) -> bool:
        return not self.is_done()

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        if blocking:
            self._thread.kt_join(None if timeout < 0 else timeout)
        return self.is_done()

    def release(self) -> None:
        """Does nothing: the kernel announces the end."""

    @property
    def ident(self) -> int | None:
        ident: int | None = self._thread.ident
        return ident

    def is_done(self) -> bool:
        return bool(self._thread.kt_has_ended())

    def join(self, timeout: float | None = None) -> None:
        self._thread.kt_join(timeout)


class StandardAttributes(StandardThread):
    """The base of `Thread`. It uses `native_id` and the methods whose names begin with kt_."""

    _initialized = False

    def kt_check_initialized(self) -> None:
        """Raises ThreadStateError for a subclass that does not call the constructor of `Thread`."""
        if not self._initialized:
            raise ThreadStateError(
                f"Thread.__init__() not called: the constructor of {type(self).__name__} must call it"
            )

    @Computed
    def _ident(self) -> int | None:
        return self.kt_ident()  # type: ignore[attr-defined, no-any-return]

    @Computed
    def _native_id(self) -> int | None:
        return self.native_id

    @Computed
    def _started(self) -> threading.Event:
        """An event that start() sets. It is made when a caller first asks for it."""
        event: threading.Event = self.__dict__.setdefault("_started", threading.Event())
        if self.kt_was_started():  # type: ignore[attr-defined]
            event.set()
        return event

    @Computed
    def _invoke_excepthook(self) -> Callable[[threading.Thread], None]:
        return threading._make_invoke_excepthook()  # type: ignore[attr-defined, no-any-return]

    if hasattr(threading.Thread, "_set_tstate_lock"):  # up to 3.12

        @Computed
        def _is_stopped(self) -> bool:
            return bool(self.kt_has_ended())  # type: ignore[attr-defined]

        @Computed
        def _tstate_lock(self) -> _End | None:
            return _End(self) if self.is_alive() else None

    else:

        @Computed
        def _handle(self) -> _End:
            return _End(self)

        _os_thread_handle = _handle  # its name since 3.14

    # threading calls the following methods of the threads in its table.

    def _after_fork(self, new_ident: int | None = None) -> None:
        if not isinstance(self, StandardAttributes):
            StandardThread._after_fork(self, new_ident)
        elif new_ident is not None:
            threading_hooks.become_main(self)

    def _reset_internal_locks(self, is_alive: bool) -> None:
        if not isinstance(self, StandardAttributes):
            StandardThread._reset_internal_locks(self, is_alive)
        elif is_alive:
            threading_hooks.become_main(self)

    def _stop(self) -> None:
        self._is_stopped = True
