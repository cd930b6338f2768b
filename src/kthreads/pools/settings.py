"""The settings of a pool, checked, as the engine reads them."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kthreads import interpreter, limits
from kthreads._native import ffi, lib
from kthreads.cpus import check_cpus
from kthreads.errors import ThreadMemoryError
from kthreads.flags.clone_flags import SHARE_ALL
from kthreads.functions.sources import is_native, native
from kthreads.threads.known_to_threading import attach
from kthreads.threads.settings import ThreadSettings

__all__ = ["SPIN_NS", "WAIT_SPIN_NS", "PoolSettings"]

SPIN_NS = 200_000  # a few wake-ups; most pauses between two calls of a Python program are shorter
WAIT_SPIN_NS = 20_000  # about the time of a wake-up: a waiter for a short task does not sleep

_finalizer = ffi.new("kt_call *")
_finalizer.function = ffi.cast("kt_function", ffi.addressof(lib, "kt_python_leave"))


class PoolSettings:
    """A checked ``kt_pool_spec``, and what its pointers point to. The arguments are those of `Pool`.

    Attributes:
        cdata: the ``kt_pool_spec *``.
        thread: the settings of its threads.
        usable: how many CPUs they may use.
        wait_spin_ns: how long a waiter for a task spins before it sleeps, in nanoseconds.
        python_initializer: the initializer, if it is a Python callable.

    Raises:
        ValueError, TypeError: a setting is invalid.
    """

    def __init__(
        self,
        *,
        workers: int | None,
        name: str,
        cpus: Iterable[int] | None,
        nice: int | None,
        initializer: Any,
        initargs: Sequence[Any],
        spin: float | str,
        stack_size: int | None,
        queue_size: int,
        backend: str,
    ) -> None:
        if backend == "bare_without_libc":
            raise ValueError("a pool needs threads with a libc: backend must be clone, clone3 or pthread")
        cpus = None if cpus is None else check_cpus(cpus)
        self.usable = limits.cpu_count() if cpus is None else len(cpus)
        self.thread = ThreadSettings.of(
            is_native=False,
            share=SHARE_ALL,
            namespaces=0,
            stack_size=stack_size,
            cpus=cpus,
            nice=nice,
            reuse=False,
            backend=backend,
            name=None,
        )
        cdata = self.cdata = ffi.new("kt_pool_spec *")
        self._name = ffi.new("char[]", str(name).encode()[:10].decode(errors="ignore").encode())
        cdata.workers = limits.default_workers() if workers is None else limits.check_workers("workers", workers)
        cdata.cpus, cdata.spin_ns, cdata.queue_size = self.usable, _check_spin(spin), _check_queue_size(queue_size)
        cdata.name, cdata.thread, cdata.finalizer = self._name, self.thread.cdata, _finalizer
        self.wait_spin_ns: int = min(cdata.spin_ns, WAIT_SPIN_NS) if self.usable > 1 else 0
        self.python_initializer: PythonInitializer | None = None
        if initializer is not None:
            cdata.initializer, self._initializer = self._prepare(initializer, tuple(initargs))

    def error(self, code: int) -> Exception:
        """The exception for a positive errno value: the pool could not be made, or has refused work."""
        if code == errno.EINVAL and not self.thread.refusable:
            return ValueError(
                f"the engine refused the pool's settings: {self.cdata.workers} workers, queue_size {self.cdata.queue_size}"
            )
        if code == errno.ENOMEM and not self.cdata.workers > 1:
            return ThreadMemoryError(f"no memory for a pool with a queue of {self.cdata.queue_size} tasks")
        return self.thread.error(code)

    def _prepare(self, initializer: Any, initargs: tuple[Any, ...]) -> tuple[Any, Any]:
        """The ``kt_call *`` of the initializer, and what must stay alive for it."""
        if is_native(initializer):
            call = native(initializer).bind(initargs)
            call.cdata.kind = lib.KT_RESULT_NONE  # its result has no meaning
            return call.cdata, call
        if not callable(initializer):
            raise TypeError(f"initializer must be a native function or callable, not {type(initializer).__name__}")
        self.python_initializer = PythonInitializer(initializer, initargs)
        cdata = ffi.new("kt_call *")
        cdata.function = ffi.cast("kt_function", ffi.addressof(lib, "kt_python_initializer"))
        cdata.kind = lib.KT_RESULT_INTEGER
        cdata.integers[0], cdata.integers[1] = id(self.python_initializer), interpreter.ADDRESS
        return cdata, cdata


class PythonInitializer:
    """A Python callable that each thread of a pool calls as it begins.

    Attributes:
        failed: called with the exception that it has raised.
    """

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self._function, self._args = function, args
        self.failed: Callable[[BaseException], None] | None = None

    def __call__(self) -> None:
        attach()
        try:
            self._function(*self._args)
        except BaseException as error:
            assert self.failed is not None
            self.failed(error)
            raise


def _check_queue_size(size: Any) -> int:
    if not isinstance(size, int) or isinstance(size, bool) or not 1 <= size <= 1 << 30:
        raise ValueError(f"queue_size must be from 1 to {1 << 30}, not {size!r}")
    return size


def _check_spin(spin: float | str) -> int:
    if spin == "auto":
        return SPIN_NS
    if isinstance(spin, (str, bool)) or not isinstance(spin, (int, float)) or not 0 <= spin <= 1:
        raise ValueError(f"spin must be 'auto' or from 0 to 1 second, not {spin!r}")
    return int(spin * 1e9)
