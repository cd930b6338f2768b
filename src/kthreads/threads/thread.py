"""Kernel threads with the interface of threading.Thread."""

from __future__ import annotations

import contextvars
import errno
import itertools
import sys
import threading
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from typing import Any

from kthreads import deadline
from kthreads._native import ffi, lib
from kthreads.errors import ThreadStateError, UnsupportedError, raise_for
from kthreads.flags.clone_flags import SHARE_ALL, CloneFlags
from kthreads.functions.function import Call, NativeFunction
from kthreads.functions.sources import is_native, native
from kthreads.threads import awaiting, registry, threading_hooks
from kthreads.threads.pidfd import PidFd
from kthreads.threads.settings import ThreadSettings

__all__ = ["Thread"]

_HANDLE_CELL, _OUTCOME = ffi.typeof("kt_thread **"), ffi.typeof("kt_outcome *")
_RUN_PYTHON = ffi.cast("kt_function", ffi.addressof(lib, "kt_python_run"))
_new, _gc, _free = ffi.new, ffi.gc, lib.kt_python_free
_numbers = itertools.count(1)


class Thread(threading.Thread):
    """A kernel thread, made by clone(2), that runs a native function without the GIL or a Python callable with it.

    Args:
        target: what to run: a `NativeFunction`, anything that `native()` takes (cffi, ctypes, numba and Cython
            functions), or a Python callable. None where a subclass overrides `run`.
        args: its arguments, converted and checked now for a native function. Buffers among them stay alive
            and locked until the call has ended.
        kwargs: keyword arguments, for a Python callable only.
        name: also given to the kernel thread (its first 15 bytes). "KThread-N" when None, for Python alone.
        daemon: whether the interpreter may end while the thread runs; as the current thread's when None.
        share: what the thread shares with its creator beyond memory: all of `CloneFlags.FS` (working directory,
            umask), `FILES` (descriptor table) and `SYSVSEM` when not given; a thread without one of them begins
            with a copy of its own.
        namespaces: the namespaces that it has of its own: any of `CloneFlags.NEWNS`, `NEWUTS`, `NEWIPC`, `NEWNET`
            and `NEWCGROUP`. Needs CAP_SYS_ADMIN.
        stack_size: usable bytes, 16384 or more. 262144 for a native target; for a Python one
            threading.stack_size(), or RLIMIT_STACK where that is 0.
        cpus: numbers of the CPUs that it may run on.
        nice: its nice value, -20 to 19 (on Linux, one of the thread: setpriority(2)).
        reuse: start on a parked thread of an earlier reusable one where one fits, and park afterwards.
        backend: "clone", "clone3" (where the kernel allows it), "pthread" (pthread_create, for comparison), or
            "bare_without_libc" (no TLS of its own: native leaf functions only, to teach and to measure).

    Raises:
        ValueError, TypeError, OverflowError: for arguments that make no sense, now; the exceptions of `start`
            are those that the kernel decides.
    """

    # The state before the start. The constructor of threading.Thread is not called: every public method is overridden, so
    # its state is not used, and it costs more time than the start of a parked thread.
    _function: NativeFunction | None = None
    _call: Call | _PythonCall | None = None
    _claim: object  # set by the one call of start() that starts the thread
    _is_starting = False  # whether start() is in the engine, which may yet refuse
    # Names that begin with kt_ are for other files of the package, and out of the way of a subclass's own attributes.
    # From the start to the end: a ``kt_thread **``, the memory in which the engine stores the thread's handle, which is the
    # ``kt_thread *``. The handle is freed with its cell.
    kt_cell: Any = None
    _outcome: Any = None  # a ``kt_outcome *``, from the end on
    _returned: Any = None
    _exception: BaseException | None = None
    _pidfd: PidFd | None = None

    def __init__(
        self,
        target: Any = None,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        daemon: bool | None = None,
        share: CloneFlags = SHARE_ALL,
        namespaces: CloneFlags | int = 0,
        stack_size: int | None = None,
        cpus: Iterable[int] | None = None,
        nice: int | None = None,
        reuse: bool = False,
        backend: str = "clone",
    ) -> None:
        self._number = next(_numbers)
        self._given_name = None if name is None else str(name)
        self._daemon = threading.current_thread().daemon if daemon is None else bool(daemon)
        self._target: Any = target
        self._args: Any = args
        self._kwargs: Any = kwargs
        if is_native(target) and type(self).run is Thread.run:
            if kwargs:
                raise TypeError("a native function takes no keyword arguments")
            self._function = native(target)
            self._call = self._function.bind(tuple(args))
        elif target is not None and not callable(target):
            raise TypeError(f"target must be a native function or callable, not {type(target).__name__}")
        self._thread_settings = ThreadSettings.of(
            is_native=self._function is not None,
            share=share,
            namespaces=namespaces,
            stack_size=stack_size,
            cpus=cpus,
            nice=nice,
            reuse=reuse,
            backend=backend,
            name=self._given_name,
        )

    def start(self) -> None:
        """Starts the thread.

        Raises:
            ThreadStateError: it was started before.
            ThreadLimitError, ThreadMemoryError: the kernel has no room for it; start() may be called again later.
            NamespaceError, SettingError: the kernel refused a namespace or a setting.
            LibcError: kthreads does not understand this libc.
        """
        claim = object()
        try:
            # setdefault is atomic: of two threads that call start() at once, one succeeds.
            if self.__dict__.setdefault("_claim", claim) is not claim:
                raise ThreadStateError("threads can only be started once")
            if self._call is None:
                self._prepare_python()
            assert self._call is not None
            cell = self.kt_cell = _gc(_new(_HANDLE_CELL), _free)
            registry.register(self)
            self._is_starting = True
            code = lib.kt_thread_start(cell, self._thread_settings.cdata, self._call.cdata)
            self._is_starting = False
            if code < 0:
                raise self._thread_settings.error(-code)
        except BaseException:
            if self.__dict__.get("_claim") is claim:
                self._is_starting = False
                if not self.kt_was_started():
                    registry.unregister(self)
                    self.kt_cell = None
                    del self._claim
            raise

    def kt_was_started(self) -> bool:
        """Whether the thread was started; it may have ended since."""
        return self._outcome is not None or self.kt_cell_if_started() is not None

    def kt_cell_if_started(self) -> Any:
        """`kt_cell` with a handle in it, from the start to the end; else None. As long as start() is in the engine, the
        started thread itself gets the cell, and all others None."""
        cell = self.kt_cell
        if cell is None or not cell[0]:
            return None
        return cell if not self._is_starting or lib.kt_thread_ident(cell[0]) == threading.get_ident() else None

    def _prepare_python(self) -> None:
        if sys.is_finalizing():
            raise ThreadStateError("can't start a Python thread while the interpreter is ending")
        context = contextvars.copy_context() if getattr(sys.flags, "thread_inherit_context", 0) else None
        bootstrap = self._bootstrap if context is None else lambda: context.run(self._bootstrap)
        cdata = ffi.new("kt_call *")
        cdata.function = _RUN_PYTHON
        cdata.integers[0] = id(bootstrap)
        self._call = _PythonCall(cdata, bootstrap)

    def _bootstrap(self) -> None:
        """Runs on the new thread: all that a Python thread does."""
        threading_hooks.add_active(self)
        try:
            self._returned = self.run()
        except BaseException as exception:
            self._exception = exception
            threading_hooks.report_exception(self)
        finally:
            threading_hooks.remove_active()
            del self  # the traceback of its exception refers to this frame

    def run(self) -> Any:
        """Calls the target with its arguments and returns its result, which becomes `result`. Subclasses may override it."""
        try:
            if self._target is not None:
                target = self._target if self._function is None else self._function
                return target(*self._args, **(self._kwargs or {}))
        finally:
            # As threading does: a target that refers to its thread must not keep it alive.
            self._target = self._args = self._kwargs = None
            del self  # it has the exception, whose traceback refers to this frame
        return None

    def join(self, timeout: float | None = None) -> None:
        """Waits until the thread has ended, or for `timeout` seconds; `is_alive()` then says which. Ctrl-C works.

        Raises:
            ThreadStateError: the thread was not started, or is the current one.
        """
        if not self.kt_was_started():
            raise ThreadStateError("cannot join thread before it is started")
        if (cell := self.kt_cell) is None:
            return
        limit = deadline.after(timeout)
        # Whether this is the main thread, which waits in slices, is asked only if the first slice was not enough.
        slice_ns = deadline.SLICE_NS if limit is None else deadline.slice_ns(limit)
        outcome = _new(_OUTCOME)
        while (code := lib.kt_thread_wait(cell[0], slice_ns, outcome)) != 0:
            if code == -errno.EDEADLK:
                raise ThreadStateError("cannot join current thread")
            if code == -errno.ETIMEDOUT:
                if deadline.has_passed(limit):
                    return
            elif code != -errno.EINTR:
                raise_for(code, f"waiting for {self.name}")
            slice_ns = deadline.slice_ns(limit)
        self._end(outcome)

    def __await__(self) -> Generator[Any, None, Any]:
        """Waits for the end in asyncio, and returns or raises as `result` does. Any number of tasks may await a thread.
        Cancelling one of them does not affect the thread.

        The event loop watches a pidfd, without a helper thread. Where there is none, before Linux 6.9 and for a thread
        started with `reuse`, it checks the thread every 5 ms instead.

        Raises:
            ThreadStateError: the thread was not started, or is the current one.
        """
        return awaiting.result_of(self).__await__()

    def _end(self, outcome: Any) -> None:
        """Stores the outcome of an ended thread, and releases the rest. An exception may interrupt this: as long as there
        is a cell, the next caller does all of it again."""
        self._outcome = outcome
        assert self._call is not None
        self._call.finish()
        registry.unregister(self)
        self.kt_cell = None

    def kt_has_ended(self) -> bool:
        """Whether the thread has ended; stores its outcome if so."""
        cell = self.kt_cell
        if cell is None:
            return self._outcome is not None
        outcome = _new(_OUTCOME)
        if not cell[0] or self._is_starting or lib.kt_thread_wait(cell[0], 0, outcome) != 0:
            return False
        self._end(outcome)
        return True

    def is_alive(self) -> bool:
        """Whether the thread was started and has not ended. In a forked child, False for all but the thread that forked."""
        return self.kt_cell_while_alive() is not None

    def kt_cell_while_alive(self) -> Any:
        """`kt_cell`, if the thread was started and has not ended; else None."""
        cell = self.kt_cell_if_started()
        return None if cell is None or self.kt_has_ended() else cell

    def _end_of(self, what: str) -> Any:
        """The outcome. Raises ThreadStateError with the name of what the caller wants, if the thread has not ended."""
        if not self.kt_has_ended():
            raise ThreadStateError(f"{what} is known when the thread has ended: join() it first")
        return self._outcome

    @property
    def result(self) -> Any:
        """The result of the target. For a native function, it is the Python value of the C type. If a Python target raised
        an exception, it is raised again.

        Raises:
            ThreadStateError: the thread has not ended.
        """
        outcome = self._end_of("result")
        if self._exception is not None:
            try:
                raise self._exception
            finally:
                del self  # the traceback refers to this frame
        return self._returned if self._function is None else self._function.read(outcome.result)

    @property
    def errno(self) -> int:
        """errno as the native function left it; it was 0 when the function began."""
        return int(self._end_of("errno").error)

    def exception(self) -> BaseException | None:
        """The exception that ended a Python target, or None."""
        self._end_of("the exception")
        return self._exception

    def kt_has_failed(self) -> bool:
        """Whether an exception has ended the Python target."""
        return self._exception is not None

    def cpu_time(self) -> float:
        """CPU time that the thread has used, in seconds; of a reused kernel thread, in this run (clock_gettime(3))."""
        cell = self.kt_cell_while_alive()
        if cell is not None:
            ns = ffi.new("int64_t *")
            if lib.kt_thread_cpu_time(cell[0], ns) == 0:
                return int(ns[0]) / 1e9
        ns = self._end_of("CPU time").cpu_ns
        if ns < 0:
            raise UnsupportedError("no CPU time was recorded for this thread: it ended by pthread_exit or by a fork")
        return int(ns) / 1e9

    def _ask(self, question: Any, field: str) -> Any:
        """The answer of a function of the engine, from the start to the end; then a field of the outcome. None before."""
        cell, outcome = self.kt_cell, self._outcome
        if cell is not None and cell[0]:
            return question(cell[0])
        return None if outcome is None else getattr(outcome, field)

    @property
    def name(self) -> str:
        """The name. One that is set before the start is also that of the kernel thread."""
        return f"KThread-{self._number}" if self._given_name is None else self._given_name

    @name.setter
    def name(self, name: str) -> None:
        self._given_name = str(name)
        if not self.kt_was_started():
            self._thread_settings = self._thread_settings.named(self._given_name)

    @property
    def daemon(self) -> bool:
        """Whether the interpreter may end while the thread runs."""
        return self._daemon

    @daemon.setter
    def daemon(self, daemon: bool) -> None:
        if self.kt_was_started():
            raise ThreadStateError("cannot set daemon status of a thread that was started")
        self._daemon = bool(daemon)

    @property
    def ident(self) -> int | None:
        """pthread_self() of the thread, as threading.get_ident() returns on it; None before the start."""
        ident: int | None = self._ask(lib.kt_thread_ident, "ident")
        return ident

    @property
    def native_id(self) -> int | None:
        """The kernel's thread id (gettid(2)); None before the start."""
        tid: int | None = self._ask(lib.kt_thread_tid, "tid")
        return tid

    @property
    def flags(self) -> CloneFlags:
        """The flags that clone was called with; none before the start."""
        return CloneFlags(self._ask(lib.kt_thread_flags, "flags") or 0)

    @property
    def reused(self) -> bool:
        """Whether the thread was started on a parked kernel thread."""
        return bool(self._ask(lib.kt_thread_reused, "reused"))

    def fileno(self) -> int:
        """A pidfd of the running thread: readable when it has ended (pidfd_open(2), Linux 6.9). Closed with the Thread.

        Raises:
            UnsupportedError: an older kernel, or a thread started with `reuse`.
            ThreadStateError: the thread is not running.
        """
        if self._pidfd is None:
            cell = self.kt_cell_while_alive()
            if cell is None:
                raise ThreadStateError("only a running thread has a pidfd: ask for it between start() and the end")
            self._pidfd = PidFd(cell[0])
        return self._pidfd.fd

    def __repr__(self) -> str:
        state = "initial" if not self.kt_was_started() else "stopped" if self.kt_has_ended() else "started"
        daemon = " daemon" if self._daemon else ""
        tid = "" if self.native_id is None else f" {self.native_id}"
        return f"<{type(self).__name__}({self.name}, {state}{daemon}{tid})>"

    # threading calls the following methods of the threads in its table.

    def _after_fork(self, new_ident: int | None = None) -> None:
        if new_ident is not None:
            threading_hooks.become_main(self)

    def _reset_internal_locks(self, is_alive: bool) -> None:
        if is_alive:
            threading_hooks.become_main(self)

    def _stop(self) -> None:
        self._is_stopped = True


class _PythonCall:
    """The call of a Python thread: as `Call`, for a Python callable."""

    __slots__ = ("bootstrap", "cdata")

    def __init__(self, cdata: Any, bootstrap: Callable[[], None]) -> None:
        self.cdata = cdata
        self.bootstrap: Callable[[], None] | None = bootstrap

    def finish(self) -> None:
        self.bootstrap = None
