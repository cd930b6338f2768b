"""Threads of the kernel with the manners of threading.Thread."""

from __future__ import annotations

import atexit
import contextvars
import errno
import faulthandler
import itertools
import os
import resource
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from kthreads import interop
from kthreads._native import ffi, lib
from kthreads.errors import ThreadStateError, UnsupportedError, check, raise_for, start_error
from kthreads.flags import SHARE_ALL, CloneFlags, check_thread_flags
from kthreads.native import Call, NativeFunction, is_native, native

__all__ = ["ALL_COMPLETED", "FIRST_COMPLETED", "FIRST_EXCEPTION", "Thread", "WaitResult", "wait"]

FIRST_COMPLETED = "FIRST_COMPLETED"
FIRST_EXCEPTION = "FIRST_EXCEPTION"
ALL_COMPLETED = "ALL_COMPLETED"

BACKENDS = {
    "clone": lib.KT_BACKEND_CLONE,
    "clone3": lib.KT_BACKEND_CLONE3,
    "pthread": lib.KT_BACKEND_PTHREAD,
    "bare_without_libc": lib.KT_BACKEND_BARE_WITHOUT_LIBC,
}

# How long the main thread waits in C before it looks for signals: a signal that arrives just before the wait
# begins does not interrupt it.
_SLICE_NS = 40_000_000
_FOREVER = -1
_PYTHON_STACK_SIZE = 8 << 20  # where RLIMIT_STACK is unlimited; glibc's own default elsewhere

_RUN_PYTHON = ffi.cast("kt_function", ffi.addressof(lib, "kt_python_run"))
_numbers = itertools.count(1)

# Started threads that are not known to have ended: what keeps their arguments alive, whatever becomes of the
# Thread objects.
_running: set[Thread] = set()
_sweep_at = 64


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
        # threading.Thread's own constructor is not called: nothing of its state is used, and it costs more than
        # the start of a parked thread. Every public method is overridden.
        self._number = next(_numbers)
        self._given_name = None if name is None else str(name)
        self._daemon = threading.current_thread().daemon if daemon is None else bool(daemon)
        self._function: NativeFunction | None = None
        self._call: Call | _PythonCall | None = None
        self._kt: Any = None  # the handle; "_handle" is threading.Thread's own since 3.13
        self._place: Any = None
        self._started_once = False
        self._outcome: Any = None
        self._returned: Any = None
        self._exception: BaseException | None = None
        self._pidfd: _PidFd | None = None
        self._reused = False
        self._flags = 0
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
        self._spec = _Spec.of(
            share, namespaces, stack_size, cpus, nice, reuse, backend, self._given_name, self._function is not None
        )

    # ---- Running -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Starts the thread.

        Raises:
            ThreadStateError: it was started before.
            ThreadLimitError, ThreadMemoryError: the kernel has no room for it; nothing is left behind.
            NamespaceError, SettingError: what was asked for was refused.
            LibcError: kthreads does not understand this libc.
        """
        if self._started_once:
            raise ThreadStateError("threads can only be started once")
        if self._call is None:
            self._prepare_python()
        if len(_running) >= _sweep_at:
            sweep()
        place = self._place = ffi.new("kt_thread **")
        self._started_once = True
        _running.add(self)
        assert self._call is not None
        code = lib.kt_thread_start(place, self._spec.cdata, self._call.cdata)
        if code < 0:
            self._started_once = False
            _running.discard(self)
            raise self._spec.error(-code)
        self._kt = ffi.gc(place[0], lib.kt_thread_free)
        self._place = None

    def _live(self) -> Any:
        """The handle, until the outcome has been taken over; also on the thread before start() has returned."""
        place, handle = self._place, self._kt
        if handle is None and place is not None and self._outcome is None:
            handle = place[0] or None
        return handle

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
        """What a Python thread does, beginning to end."""
        interop.enter(self)
        try:
            self._returned = self.run()
        except BaseException as exception:
            self._exception = exception
            interop.report_exception(self)
        finally:
            interop.leave()

    def run(self) -> Any:
        """Calls the target with its arguments; what it returns becomes `result`. Override it in subclasses."""
        try:
            if self._target is not None:
                target = self._target if self._function is None else self._function
                return target(*self._args, **(self._kwargs or {}))
        finally:
            # As threading does: a target that holds its thread must not keep it alive.
            self._target = self._args = self._kwargs = None
        return None

    def join(self, timeout: float | None = None) -> None:
        """Waits until the thread has ended, or for `timeout` seconds; look at `is_alive()` then. Ctrl-C works.

        Raises:
            ThreadStateError: the thread was not started, or is the current one.
        """
        if not self._started_once:
            raise ThreadStateError("cannot join thread before it is started")
        handle = self._live()
        if handle is None:
            return
        deadline = None if timeout is None else time.monotonic_ns() + max(0, int(timeout * 1e9))
        outcome = ffi.new("kt_outcome *")
        while True:
            slice_ns = _slice(deadline)
            code = lib.kt_thread_wait(handle, slice_ns, outcome)
            if code == 0:
                self._end(outcome)
                return
            if code == -errno.EDEADLK:
                raise ThreadStateError("cannot join current thread")
            if code == -errno.ETIMEDOUT:
                if deadline is not None and time.monotonic_ns() >= deadline:
                    return
            elif code != -errno.EINTR:
                raise_for(code, f"waiting for {self.name}")

    def _end(self, outcome: Any) -> None:
        """Takes over what an ended thread left behind. Done twice it does no harm."""
        handle = self._kt
        if handle is not None:
            self._flags = lib.kt_thread_flags(handle)
            self._reused = bool(lib.kt_thread_reused(handle))
        self._outcome = outcome
        self._kt = None
        _running.discard(self)
        if self._call is not None:
            self._call.finish(outcome)

    def _ended(self) -> bool:
        """Whether the thread has ended; takes its outcome over if so."""
        handle = self._live()
        if handle is None:
            return self._outcome is not None
        outcome = ffi.new("kt_outcome *")
        if lib.kt_thread_wait(handle, 0, outcome) != 0:
            return False
        self._end(outcome)
        return True

    def is_alive(self) -> bool:
        """Whether the thread was started and has not ended. False in a forked child, but for the forking thread."""
        return self._started_once and not self._ended()

    # ---- What it left behind --------------------------------------------------------------------------------------

    def _require_end(self, what: str) -> None:
        if not self._started_once or not self._ended():
            raise ThreadStateError(f"{what} is known when the thread has ended: join() it first")

    @property
    def result(self) -> Any:
        """What the target returned, as the Python value of its C type. An exception of a Python target is raised.

        Raises:
            ThreadStateError: the thread has not ended.
        """
        self._require_end("result")
        if self._exception is not None:
            raise self._exception
        if self._function is None:
            return self._returned
        assert self._call is not None
        return self._call.result

    @property
    def errno(self) -> int:
        """errno as the native function left it; it was 0 when the function began."""
        self._require_end("errno")
        return int(self._outcome.error)

    def exception(self) -> BaseException | None:
        """The exception that ended a Python target, or None."""
        self._require_end("the exception")
        return self._exception

    def cpu_time(self) -> float:
        """CPU time in seconds that the thread, or this run of a reused one, has used (clock_gettime(3))."""
        handle = self._live()
        if handle is not None and not self._ended():
            ns = ffi.new("int64_t *")
            if lib.kt_thread_cpu_time(handle, ns) == 0:
                return int(ns[0]) / 1e9
        self._require_end("CPU time")
        if self._outcome.cpu_ns < 0:
            raise UnsupportedError("no CPU time was recorded for this thread: it ended by pthread_exit or by a fork")
        return int(self._outcome.cpu_ns) / 1e9

    # ---- Who it is ---------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The name, for people; set before the start it is also the kernel thread's."""
        return f"KThread-{self._number}" if self._given_name is None else self._given_name

    @name.setter
    def name(self, name: str) -> None:
        self._given_name = str(name)
        if not self._started_once:
            self._spec = self._spec.named(self._given_name)

    @property
    def daemon(self) -> bool:
        """Whether the interpreter may end while the thread runs."""
        return self._daemon

    @daemon.setter
    def daemon(self, daemon: bool) -> None:
        if self._started_once:
            raise ThreadStateError("cannot set daemon status of a thread that was started")
        self._daemon = bool(daemon)

    @property
    def ident(self) -> int | None:
        """pthread_self() of the thread, as threading.get_ident() returns on it; None before the start."""
        handle = self._live()
        if handle is not None:
            return int(lib.kt_thread_ident(handle))
        return None if self._outcome is None else int(self._outcome.ident)

    @property
    def native_id(self) -> int | None:
        """The kernel's thread id (gettid(2)); None before the start."""
        handle = self._live()
        if handle is not None:
            return int(lib.kt_thread_tid(handle))
        return None if self._outcome is None else int(self._outcome.tid)

    @property
    def flags(self) -> CloneFlags:
        """The flags that clone was called with; none before the start."""
        handle = self._live()
        return CloneFlags(self._flags if handle is None else lib.kt_thread_flags(handle))

    @property
    def reused(self) -> bool:
        """Whether the thread was started on a parked kernel thread."""
        handle = self._live()
        return self._reused if handle is None else bool(lib.kt_thread_reused(handle))

    def fileno(self) -> int:
        """A pidfd of the running thread: readable when it has ended (pidfd_open(2), Linux 6.9). Closed with the Thread.

        Raises:
            UnsupportedError: an older kernel, or a thread started with `reuse`.
            ThreadStateError: the thread does not run.
        """
        if self._pidfd is None:
            handle = self._live()
            if handle is None or self._ended():
                raise ThreadStateError("only a running thread has a pidfd: ask for it between start() and the end")
            self._pidfd = _PidFd(lib.kt_thread_pidfd(handle))
        return self._pidfd.fd

    def __repr__(self) -> str:
        state = "initial" if not self._started_once else "stopped" if self._ended() else "started"
        daemon = " daemon" if self._daemon else ""
        tid = "" if self.native_id is None else f" {self.native_id}"
        return f"<{type(self).__name__}({self.name}, {state}{daemon}{tid})>"

    # ---- What threading asks of the threads in its table --------------

    def _after_fork(self, new_ident: int | None = None) -> None:
        if new_ident is not None:
            interop.become_main(self)

    def _reset_internal_locks(self, is_alive: bool) -> None:
        if is_alive:
            interop.become_main(self)

    def _stop(self) -> None:
        self._is_stopped = True


class _PythonCall:
    """The call of a Python callable, in the place where a native thread has its `Call`."""

    __slots__ = ("bootstrap", "cdata")
    result = None

    def __init__(self, cdata: Any, bootstrap: Callable[[], None]) -> None:
        self.cdata = cdata
        self.bootstrap: Callable[[], None] | None = bootstrap

    def finish(self, outcome: Any) -> None:
        self.bootstrap = None


class _PidFd:
    """An open pidfd, closed when nobody holds it any more."""

    __slots__ = ("fd",)

    def __init__(self, fd: int) -> None:
        self.fd = -1
        if fd in (-errno.EINVAL, -errno.ENOSYS):
            raise UnsupportedError("a pidfd of a thread needs Linux 6.9 (PIDFD_THREAD)")
        if fd == -errno.ENOTSUP:
            raise UnsupportedError("a reusable thread has no pidfd: it would tell of the kernel thread, not of the run")
        if fd == -errno.ESRCH:
            raise ThreadStateError("the thread has ended: only a running thread has a pidfd")
        self.fd = check(fd, "opening a pidfd")

    def __del__(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)


class _Spec:
    """A checked kt_spec, and what its pointers point to."""

    __slots__ = ("cdata", "keep", "namespaces", "settings")
    _plain: ClassVar[dict[tuple[Any, ...], _Spec]] = {}

    def __init__(self, cdata: Any, keep: tuple[Any, ...], namespaces: bool, settings: str) -> None:
        self.cdata = cdata
        self.keep = keep
        self.namespaces = namespaces
        self.settings = settings

    @classmethod
    def of(
        cls,
        share: CloneFlags,
        namespaces: CloneFlags | int,
        stack_size: int | None,
        cpus: Iterable[int] | None,
        nice: int | None,
        reuse: bool,
        backend: str,
        name: str | None,
        is_native: bool,
    ) -> _Spec:
        if cpus is not None or nice is not None or name is not None:
            return cls._make(share, namespaces, stack_size, cpus, nice, reuse, backend, name, is_native)
        # Most threads are alike: their spec is only read, so one serves all of them.
        size = stack_size if stack_size is not None or is_native else _python_stack_size()
        key = (share, namespaces, size, reuse, backend, is_native, faulthandler.is_enabled())
        spec = cls._plain.get(key)
        if spec is None:
            spec = cls._make(share, namespaces, size, None, None, reuse, backend, None, is_native)
            cls._plain[key] = spec
        return spec

    @classmethod
    def _make(
        cls,
        share: CloneFlags,
        namespaces: CloneFlags | int,
        stack_size: int | None,
        cpus: Iterable[int] | None,
        nice: int | None,
        reuse: bool,
        backend: str,
        name: str | None,
        is_native: bool,
    ) -> _Spec:
        cdata = ffi.new("kt_spec *")
        cdata.flags = check_thread_flags(CloneFlags(share), CloneFlags(namespaces))
        cdata.backend = _check_backend(backend, is_native, reuse)
        cdata.stack_size = _check_stack_size(stack_size, is_native)
        cdata.options = lib.KT_OPTION_CPU_TIME if backend != "bare_without_libc" else 0
        cdata.options |= lib.KT_OPTION_REUSE if reuse else 0
        cdata.options |= lib.KT_OPTION_ALTSTACK if faulthandler.is_enabled() else 0
        settings = []
        keep = []
        if nice is not None:
            cdata.options |= lib.KT_OPTION_NICE
            cdata.nice = _check_nice(nice)
            settings.append(f"nice={nice}")
        if cpus is not None:
            chosen = _check_cpus(cpus)
            mask = ffi.new("uint64_t[]", max(chosen) // 64 + 1)
            for cpu in chosen:
                mask[cpu // 64] |= 1 << cpu % 64
            cdata.cpus, cdata.cpus_size = mask, ffi.sizeof(mask)
            keep.append(mask)
            settings.append(f"cpus={sorted(chosen)}")
        spec = cls(cdata, tuple(keep), bool(namespaces), " and ".join(settings))
        return spec if name is None else spec.named(name)

    def named(self, name: str) -> _Spec:
        """The same with another name; the kernel keeps 15 bytes, and no half of a character is passed."""
        text = ffi.new("char[]", name.encode()[:15].decode(errors="ignore").encode())
        cdata = ffi.new("kt_spec *", self.cdata[0])
        cdata.name = text
        return _Spec(cdata, (*self.keep, text), self.namespaces, self.settings)

    def error(self, code: int) -> Exception:
        """The exception for a start that was refused with this errno value."""
        missing = lib.kt_libc_missing()
        return start_error(
            code,
            namespaces=self.namespaces,
            settings=self.settings,
            missing=None if missing == ffi.NULL else ffi.string(missing).decode(),
        )


def _check_backend(backend: str, is_native: bool, reuse: bool) -> int:
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {', '.join(BACKENDS)}, not {backend!r}")
    if backend == "bare_without_libc" and not is_native:
        raise ValueError("a bare thread has no libc of its own: it can run native leaf functions only")
    if backend == "bare_without_libc" and reuse:
        raise ValueError("a bare thread cannot be reused")
    return int(BACKENDS[backend])


def _check_stack_size(size: int | None, is_native: bool) -> int:
    if size is None:
        return int(lib.KT_STACK_DEFAULT) if is_native else _python_stack_size()
    if size < lib.KT_STACK_MINIMUM:
        raise ValueError(f"stack_size must be {lib.KT_STACK_MINIMUM} bytes or more, not {size}")
    if size > sys.maxsize // 2:
        raise ValueError(f"stack_size is too large: {size}")
    return size


def _python_stack_size() -> int:
    """What threading would use: CPython checks recursion against a stack of that order."""
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    return threading.stack_size() or (_PYTHON_STACK_SIZE if soft == resource.RLIM_INFINITY else max(soft, 1 << 17))


def _check_nice(nice: int) -> int:
    if not -20 <= nice <= 19:
        raise ValueError(f"nice must be from -20 to 19, not {nice}")
    return nice


def _check_cpus(cpus: Iterable[int]) -> set[int]:
    chosen = {int(cpu) for cpu in cpus}
    if not chosen:
        raise ValueError("cpus must name at least one CPU")
    if not all(0 <= cpu < 1 << 16 for cpu in chosen):
        raise ValueError(f"cpus must be CPU numbers, not {sorted(chosen)}")
    return chosen


# ---- Waiting for many ------------------------------------------------------------------------------------------------


class WaitResult(NamedTuple):
    """What `wait` returns, as concurrent.futures.wait does."""

    done: set[Thread]
    not_done: set[Thread]


def wait(threads: Iterable[Thread], timeout: float | None = None, return_when: str = ALL_COMPLETED) -> WaitResult:
    """Waits for threads with one futex_waitv(2), without helper threads. Ctrl-C works.

    Args:
        threads: started threads.
        timeout: seconds, or None for no limit.
        return_when: ALL_COMPLETED, FIRST_COMPLETED, or FIRST_EXCEPTION (the first thread that ends by an exception,
            or all of them), as in concurrent.futures.

    Returns:
        `(done, not_done)`, two sets.

    Raises:
        ThreadStateError: a thread was not started, or is the current one.
    """
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED, FIRST_EXCEPTION):
        raise ValueError(f"return_when must be ALL_COMPLETED, FIRST_COMPLETED or FIRST_EXCEPTION, not {return_when!r}")
    pending = set(threads)
    current = threading.current_thread()
    for thread in pending:
        if not thread._started_once:
            raise ThreadStateError(f"cannot wait for {thread.name} before it is started")
        if thread is current:
            raise ThreadStateError("a thread cannot wait for itself")
    deadline = None if timeout is None else time.monotonic_ns() + max(0, int(timeout * 1e9))
    done: set[Thread] = set()
    while True:
        ended = {thread for thread in pending if thread._ended()}
        done |= ended
        pending -= ended
        if not pending or (deadline is not None and time.monotonic_ns() >= deadline):
            break
        if done and return_when == FIRST_COMPLETED:
            break
        if return_when == FIRST_EXCEPTION and any(thread._exception is not None for thread in done):
            break
        _sleep_until_one_ends(pending, deadline)
    return WaitResult(done, pending)


def _sleep_until_one_ends(threads: Iterable[Thread], deadline: int | None) -> None:
    handles = [handle for thread in threads if (handle := thread._live()) is not None]
    if not handles:
        return
    code = lib.kt_thread_wait_any(handles, len(handles), _slice(deadline))
    if code < 0 and code not in (-errno.ETIMEDOUT, -errno.EINTR):
        raise_for(code, "waiting for threads")


def _slice(deadline: int | None) -> int:
    """How long to wait in C before looking again, in ns."""
    left = _FOREVER if deadline is None else max(0, deadline - time.monotonic_ns())
    if threading.get_ident() != threading.main_thread().ident:
        return left
    return _SLICE_NS if left == _FOREVER else min(left, _SLICE_NS)


# ---- Threads that nobody joins, and the end of the interpreter ------------------------------------------------------


def sweep() -> None:
    """Lets go of the threads that have ended; as often as starts double, so that a start costs little."""
    global _sweep_at
    for thread in list(_running):
        thread._ended()
    _sweep_at = max(64, 2 * len(_running))


def _join_all() -> None:
    while waiting := [thread for thread in list(_running) if not thread._daemon and not thread._ended()]:
        for thread in waiting:
            if thread is not threading.current_thread():
                thread.join()


def _keep_what_runs() -> None:
    """Daemon threads go on while the interpreter goes; what they use must not go with it."""
    for thread in list(_running):
        if not thread._ended():
            lib.kt_python_keep(ffi.cast("void *", id(thread)))


interop.at_shutdown(_join_all)
atexit.register(_keep_what_runs)
