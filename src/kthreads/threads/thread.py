"""Kernel threads with the interface of threading.Thread."""

from __future__ import annotations

import contextvars
import errno
import sys
import threading
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

from kthreads import deadline, interpreter
from kthreads._native import ffi, lib
from kthreads.errors import ThreadStateError, UnsupportedError, raise_for
from kthreads.flags.clone_flags import SHARE_ALL, CloneFlags
from kthreads.functions.function import Call, NativeFunction
from kthreads.functions.sources import is_native, native
from kthreads.threads import awaiting, registry, threading_hooks
from kthreads.threads.computed import Computed
from kthreads.threads.pidfd import PidFd
from kthreads.threads.python_call import PythonCall
from kthreads.threads.settings import ThreadSettings
from kthreads.threads.standard_attributes import StandardThread
from kthreads.threads.threading import Bootstrap

__all__ = ["Thread"]

_HANDLE_CELL, _OUTCOME = ffi.typeof("kt_thread **"), ffi.typeof("kt_outcome *")
_new, _gc, _free = ffi.new, ffi.gc, lib.kt_python_free


class Thread(Bootstrap):
    """A kernel thread, made by clone(2), that runs a native function without the GIL or a Python callable with it.

    A subclass of threading.Thread with its parameters, and further ones.

    Args:
        group: None, as for threading.Thread.
        target: what to run: a `NativeFunction`, anything that `native()` takes (cffi, ctypes, numba and Cython
            functions), or a Python callable. None where a subclass overrides `run`.
        name: also given to the kernel thread (its first 15 bytes). "Thread-N (target)" when None, for Python alone.
        args: its arguments, converted and checked now for a native function. Buffers among them stay alive
            and locked until the call has ended.
        kwargs: keyword arguments, for a Python callable only.
        daemon: whether the interpreter may end while the thread runs; as the current thread's when None.
        context: the contextvars.Context in which a Python callable runs. When None, an empty one; where
            ``sys.flags.thread_inherit_context`` is set (CPython 3.14), a copy of that of the caller of `start`.
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
        ThreadStateError: a daemon thread in a subinterpreter that allows none.
    """

    # The constructor of threading.Thread is not called: see standard_attributes.py. The state before the start:
    _kt_function: NativeFunction | None = None
    _kt_call: Call | PythonCall | None = None
    _kt_claim: object  # set by the one call of start() that starts the thread
    _kt_daemon: bool  # whether the interpreter may end while it runs, from the start on
    _kt_is_starting = False  # whether start() is in the engine, which may yet refuse
    # Names with kt_ are out of the way of a subclass's own attributes. Those that begin with it are for other files.
    # From the start to the end: a ``kt_thread **``, the memory in which the engine stores the thread's handle, which is the
    # ``kt_thread *``. The handle is freed with its cell.
    _kt_cell: Any = None
    _kt_outcome: Any = None  # a ``kt_outcome *``, from the end on
    _kt_returned: Any = None
    _kt_exception: BaseException | None = None
    _kt_pidfd: PidFd | None = None

    def __init__(
        self,
        group: None = None,
        target: Any = None,
        name: str | None = None,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        daemon: bool | None = None,
        context: contextvars.Context | None = None,
        share: CloneFlags = SHARE_ALL,
        namespaces: CloneFlags | int = 0,
        stack_size: int | None = None,
        cpus: Iterable[int] | None = None,
        nice: int | None = None,
        reuse: bool = False,
        backend: str = "clone",
    ) -> None:
        if not isinstance(self, Thread):  # see StandardThread
            StandardThread.__init__(self, group, target, name, args, kwargs, daemon=daemon)
            return
        assert group is None, "group argument must be None for now: give target and args by keyword"
        name = str(name) if name else None
        if "_kt_claim" in self.__dict__:
            self._kt_forget_run()
        self._target: Any = target
        self._args: Any = args
        self._kwargs: Any = {} if kwargs is None else kwargs
        self._kt_context = context
        if type(self).run is Thread.run:  # else the subclass decides what its target means
            self._kt_bind_target(target, args, kwargs, context)
        self._kt_settings = ThreadSettings.of(
            is_native=self._kt_function is not None,
            share=share,
            namespaces=namespaces,
            stack_size=stack_size,
            cpus=cpus,
            nice=nice,
            reuse=reuse,
            backend=backend,
            name=name,
        )
        self._name: str = name or threading_hooks.default_name(
            target if self._kt_function is None else self._kt_function
        )
        self._daemonic = threading.current_thread().daemon if daemon is None else threading_hooks.check_daemon(daemon)
        self._stderr = sys.stderr  # for a report of an exception when sys.stderr is None
        self._initialized = True

    def _kt_forget_run(self) -> None:
        """Makes an ended thread one that was not started, as its constructor is called again."""
        if self.kt_is_alive():
            raise ThreadStateError("Thread.__init__() was called for a thread that runs")
        for name in [name for name in self.__dict__ if name.startswith("_kt_")]:
            del self.__dict__[name]
        self.__dict__.pop("_started", None)

    def _kt_bind_target(
        self, target: Any, args: Sequence[Any], kwargs: Mapping[str, Any] | None, context: contextvars.Context | None
    ) -> None:
        """Converts the arguments of a native function. Raises TypeError for what cannot be called."""
        if type(target) is NativeFunction or is_native(target):
            if kwargs or context is not None:
                raise TypeError("a native function takes no keyword arguments and no context: it runs no Python")
            self._kt_function = native(target)
            self._kt_call = self._kt_function.bind(tuple(args))
        elif target is not None and not callable(target):
            raise TypeError(f"target must be a native function or callable, not {type(target).__name__}")

    def start(self) -> None:
        """Starts the thread.

        Raises:
            ThreadStateError: it was started before.
            ThreadLimitError, ThreadMemoryError: the kernel has no room for it; start() may be called again later.
            NamespaceError, SettingError: the kernel refused a namespace or a setting.
            LibcError: kthreads does not understand this libc.
        """
        claim = object()
        self.kt_check_initialized()
        try:
            # setdefault is atomic: of two threads that call start() at once, one succeeds.
            if self.__dict__.setdefault("_kt_claim", claim) is not claim:
                raise ThreadStateError("threads can only be started once")
            self._kt_daemon = bool(self.daemon)  # a subclass may have overridden it
            if self._kt_function is None:
                self._kt_prepare_python()
            cell = self._kt_cell = _gc(_new(_HANDLE_CELL), _free)
            registry.register(self)
            self._kt_is_starting = True
            code = self._kt_start_on(cell, self._kt_settings.cdata)
            self._kt_is_starting = False
            if code < 0:
                raise self._kt_settings.error(-code)
        except BaseException:
            if self.__dict__.get("_kt_claim") is claim:
                self._kt_is_starting = False
                if not self.kt_was_started():
                    threading_hooks.expect_no_more(self)
                    registry.unregister(self)
                    self._kt_cell = None
                    del self._kt_claim
            raise
        finally:
            if "_started" in self.__dict__ and self.kt_was_started():
                self._started.set()

    def kt_was_started(self) -> bool:
        """Whether the thread was started; it may have ended since."""
        # In this order: a thread that sees the end stores the outcome before it drops the cell.
        return self.kt_cell_if_started() is not None or self._kt_outcome is not None

    def kt_cell_if_started(self) -> Any:
        """`_kt_cell` with a handle in it, from the start to the end; else None. As long as start() is in the engine, the
        started thread itself gets the cell, and all others None."""
        cell = self._kt_cell
        if cell is None or not cell[0]:
            return None
        return cell if not self._kt_is_starting or lib.kt_thread_ident(cell[0]) == threading.get_ident() else None

    def _kt_prepare_python(self) -> None:
        if sys.is_finalizing():
            raise ThreadStateError("can't start a Python thread while the interpreter is ending")
        if self._kt_context is None and getattr(sys.flags, "thread_inherit_context", False):
            self._kt_context = contextvars.copy_context()
        self._kt_call = PythonCall(self._bootstrap, self._kt_daemon)
        if not interpreter.IS_MAIN:
            threading_hooks.check_threads_allowed()
        threading_hooks.expect(self)

    def _kt_start_on(self, cell: Any, spec: Any) -> int:
        """Starts the thread, and stores its handle in the cell. Returns 0 or a negative errno value."""
        call = self._kt_call
        assert call is not None
        return call.start(cell, spec) if type(call) is PythonCall else int(lib.kt_thread_start(cell, spec, call.cdata))

    def join(self, timeout: float | None = None) -> None:
        """Waits until the thread has ended, or for `timeout` seconds; `is_alive()` then says which. Ctrl-C works.

        Raises:
            ThreadStateError: the thread was not started, or is the current one.
        """
        self.kt_join(timeout)

    def kt_join(self, timeout: float | None = None) -> None:
        """`join`, which a subclass may have overridden."""
        self.kt_check_initialized()
        if not self.kt_was_started():
            raise ThreadStateError("cannot join thread before it is started")
        limit = deadline.after(timeout)
        if (cell := self._kt_cell) is None:
            return
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
                raise_for(code, f"waiting for {self._name}")
            slice_ns = deadline.slice_ns(limit)
        self._kt_end(outcome)

    def __await__(self) -> Generator[Any, None, Any]:
        """Waits for the end in asyncio, and returns or raises as `result` does. Any number of tasks may await a thread.
        Cancelling one of them does not affect the thread.

        The event loop watches a pidfd, without a helper thread. Where there is none, before Linux 6.9 and for a thread
        started with `reuse`, it checks the thread every 5 ms instead.

        Raises:
            ThreadStateError: the thread was not started, or is the current one.
        """
        return awaiting.result_of(self).__await__()

    def _kt_end(self, outcome: Any) -> None:
        """Stores the outcome of an ended thread, and releases the rest. An exception may interrupt this: as long as there
        is a cell, the next caller does all of it again."""
        self._kt_outcome = outcome
        assert self._kt_call is not None
        self._kt_call.finish()
        if self._kt_function is not None:
            self._target = self._args = None  # of a Python thread, run() deletes them
        registry.unregister(self)
        self._kt_cell = None

    def kt_has_ended(self) -> bool:
        """Whether the thread has ended; stores its outcome if so."""
        cell = self._kt_cell
        if cell is None:
            return self._kt_outcome is not None
        outcome = _new(_OUTCOME)
        if not cell[0] or self._kt_is_starting or lib.kt_thread_wait(cell[0], 0, outcome) != 0:
            return False
        self._kt_end(outcome)
        return True

    def is_alive(self) -> bool:
        """Whether the thread was started and has not ended. In a forked child, False for all but the thread that forked."""
        assert self._initialized, "Thread.__init__() not called"
        return self.kt_is_alive()

    def kt_is_alive(self) -> bool:
        """`is_alive`, which a subclass may have overridden."""
        return self.kt_cell_while_alive() is not None

    def kt_cell_while_alive(self) -> Any:
        """`_kt_cell`, if the thread was started and has not ended; else None."""
        cell = self.kt_cell_if_started()
        return None if cell is None or self.kt_has_ended() else cell

    def _kt_end_of(self, what: str) -> Any:
        """The outcome. Raises ThreadStateError with the name of what the caller wants, if the thread has not ended."""
        if not self.kt_has_ended():
            raise ThreadStateError(f"{what} is known when the thread has ended: join() it first")
        return self._kt_outcome

    @Computed
    def result(self) -> Any:
        """The result of the target. For a native function, it is the Python value of the C type. If a Python target raised
        an exception, it is raised again.

        Raises:
            ThreadStateError: the thread has not ended.
        """
        try:
            return self.kt_result()
        finally:
            del self  # the traceback of an exception refers to this frame

    def kt_result(self) -> Any:
        """`result`, which a subclass may have overridden."""
        outcome = self._kt_end_of("result")
        if self._kt_exception is not None:
            try:
                raise self._kt_exception
            finally:
                del self  # likewise
        return self._kt_returned if self._kt_function is None else self._kt_function.read(outcome.result)

    @Computed
    def errno(self) -> int:
        """errno as the native function left it; it was 0 when the function began."""
        return int(self._kt_end_of("errno").error)

    def exception(self) -> BaseException | None:
        """The exception that ended a Python target, or None."""
        self._kt_end_of("the exception")
        return self._kt_exception

    def kt_has_failed(self) -> bool:
        """Whether an exception has ended the Python target."""
        return self._kt_exception is not None

    def cpu_time(self) -> float:
        """CPU time that the thread has used, in seconds; of a reused kernel thread, in this run (clock_gettime(3))."""
        cell = self.kt_cell_while_alive()
        if cell is not None:
            ns = ffi.new("int64_t *")
            if lib.kt_thread_cpu_time(cell[0], ns) == 0:
                return int(ns[0]) / 1e9
        ns = self._kt_end_of("CPU time").cpu_ns
        if ns < 0:
            raise UnsupportedError("no CPU time was recorded for this thread: it ended by pthread_exit or by a fork")
        return int(ns) / 1e9

    def _kt_ask(self, question: Any, field: str) -> Any:
        """The answer of a function of the engine, from the start to the end; then a field of the outcome. None before."""
        cell, outcome = self._kt_cell, self._kt_outcome
        if cell is not None and cell[0]:
            return question(cell[0])
        return None if outcome is None else getattr(outcome, field)

    @property
    def name(self) -> str:
        """The name. One that is set before the start is also that of the kernel thread. From CPython 3.14 on a Python thread
        gives the kernel each name that it has."""
        assert self._initialized, "Thread.__init__() not called"
        return self._name

    @name.setter
    def name(self, name: str) -> None:
        assert self._initialized, "Thread.__init__() not called"
        self._name = str(name)
        if not self.kt_was_started():
            self._kt_settings = self._kt_settings.named(self._name)
        elif threading.get_ident() == self.kt_ident():
            threading_hooks.set_os_name(self._name)

    @property
    def daemon(self) -> bool:
        """Whether the interpreter may end while the thread runs."""
        assert self._initialized, "Thread.__init__() not called"
        return self._daemonic

    @daemon.setter
    def daemon(self, daemon: bool) -> None:
        self.kt_check_initialized()
        if self.kt_was_started():
            raise ThreadStateError("cannot set daemon status of active thread")
        self._daemonic = threading_hooks.check_daemon(daemon)

    @property
    def ident(self) -> int | None:
        """pthread_self() of the thread, as threading.get_ident() returns on it; None before the start."""
        assert self._initialized, "Thread.__init__() not called"
        return self.kt_ident()

    def kt_ident(self) -> int | None:
        """`ident`, which a subclass may have overridden."""
        ident: int | None = self._kt_ask(lib.kt_thread_ident, "ident")
        return ident

    @property
    def native_id(self) -> int | None:
        """The kernel's thread id (gettid(2)); None before the start."""
        assert self._initialized, "Thread.__init__() not called"
        tid: int | None = self._kt_ask(lib.kt_thread_tid, "tid")
        return tid

    @Computed
    def flags(self) -> CloneFlags:
        """The flags that clone was called with; none before the start."""
        return CloneFlags(self._kt_ask(lib.kt_thread_flags, "flags") or 0)

    @Computed
    def reused(self) -> bool:
        """Whether the thread was started on a parked kernel thread."""
        return bool(self._kt_ask(lib.kt_thread_reused, "reused"))

    def fileno(self) -> int:
        """A pidfd of the running thread: readable when it has ended (pidfd_open(2), Linux 6.9). Closed with the Thread.

        Raises:
            UnsupportedError: an older kernel, or a thread started with `reuse`.
            ThreadStateError: the thread is not running.
        """
        if self._kt_pidfd is None:
            cell = self.kt_cell_while_alive()
            if cell is None:
                raise ThreadStateError("only a running thread has a pidfd: ask for it between start() and the end")
            self._kt_pidfd = PidFd(cell[0])
        return self._kt_pidfd.fd

    def __repr__(self) -> str:
        assert self._initialized, "Thread.__init__() was not called"
        state = "initial" if not self.kt_was_started() else "stopped" if self.kt_has_ended() else "started"
        daemon = " daemon" if self._daemonic else ""
        ident = self.kt_ident()
        return f"<{type(self).__name__}({self._name}, {state}{daemon}{'' if ident is None else f' {ident}'})>"
