"""Starting a process: from a request to a running child."""

from __future__ import annotations

import errno
import functools
from collections.abc import Callable
from typing import Any

from kthreads._native import ffi, lib
from kthreads.flags.clone_flags import CloneFlags
from kthreads.processes import forked_child
from kthreads.processes.child_steps import Steps
from kthreads.processes.request import ProcessRequest
from kthreads.processes.running import RunningProcess, reap_dropped

__all__ = ["start", "start_python"]

_FAILURE = ffi.typeof("kt_failure *")


def start(
    process: RunningProcess,
    flags: CloneFlags | int,
    steps: Steps,
    *,
    filename: Any = None,
    before_go: Callable[[int], None] | None = None,
    **options: Any,
) -> None:
    """Starts a process that takes the steps, then executes its program or runs `call`. Returns when that has begun.

    Args:
        process: the object for it. If this raises, its owner abandons it.
        flags: of clone.
        filename: what the error of an exec step names.
        before_go: called with the pid while the child waits at its first GO step.
        options: of `ProcessRequest`: call, exit_signal, stack_size, cgroup, set_tid, setgroups, uid_map, gid_map.

    Raises:
        ProcessStartError, NamespaceError: the failure in the child, with its step.
    """
    reap_dropped()
    request, failure = ProcessRequest(flags, steps, **options), ffi.new(_FAILURE)
    process.memory = request
    code = lib.kt_process_start(process.cdata, request.cdata, failure)
    _finish(code, process, request, failure, filename, before_go)


def start_python(
    process: RunningProcess,
    flags: CloneFlags | int,
    steps: Steps,
    function: Callable[[], Any],
    *,
    before_go: Callable[[int], None] | None = None,
    **options: Any,
) -> None:
    """Starts a process that runs a Python callable, by libc's fork between the interpreter's hooks. It does not return in
    the child. Otherwise as `start`."""
    reap_dropped()
    request, failure = ProcessRequest(flags, steps, **options), ffi.new(_FAILURE)
    unflushed = forked_child.flush_standard_streams()
    run = functools.partial(forked_child.run, function, unflushed)
    code = lib.kt_python_fork(process.cdata, request.cdata, failure, ffi.cast("void *", id(run)))
    _finish(code, process, request, failure, None, before_go)


def _finish(
    code: int,
    process: RunningProcess,
    request: ProcessRequest,
    failure: Any,
    filename: Any,
    before_go: Callable[[int], None] | None,
) -> None:
    """Lets the child continue, if `code` says that there is one, and waits until its program or function has begun."""
    if code >= 0:
        if before_go is not None:
            before_go(process.pid)
        while (code := lib.kt_process_go(process.cdata, failure)) == -errno.EINTR:
            pass  # the handlers of signals run here, and may raise
    if code < 0:
        raise request.error(code, failure, filename)
    if not request.outlives_start:
        process.memory = None
