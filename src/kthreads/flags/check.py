"""Refuses a call that the kernel would refuse, with a sentence, and turns the kernel's own refusals into sentences."""

from __future__ import annotations

import errno
import os

from kthreads.errors import FlagError, NamespaceError, UnsupportedError
from kthreads.flags.caller import Situation
from kthreads.flags.clone_flags import SHARE_ALL, THREAD_NAMESPACES, CloneFlags, all_but, flags_of
from kthreads.flags.kernel_rules import problems
from kthreads.flags.rule_model import Problem, Request
from kthreads.flags.text import text

__all__ = ["PERMISSIVE", "THREAD", "check", "check_thread_flags", "refused"]

F = CloneFlags

THREAD = F.THREAD | F.SIGHAND | F.VM
"""The flags of clone that make the child a thread."""

PERMISSIVE = Situation(
    sys_admin=True, pid_init=False, pid_pending=False, time_pending=False, user_namespaces=True, exhausted=F(0)
)
"""Of a caller that is not known yet, so that only the combination of flags is checked."""

# Valid calls whose validity depends only on the flags and the kernel's version. Programs start many processes with the
# same few flags.
_always_valid: dict[tuple[CloneFlags | int, str, int | None, bool], CloneFlags] = {}


def check(
    flags: CloneFlags | int,
    api: str = "clone3",
    *,
    exit_signal: int | None = None,
    set_tid: bool = False,
    situation: Situation | None = None,
) -> CloneFlags:
    """Returns the flags, or raises an exception that says why the kernel would refuse them.

    The library calls it before each system call that takes flags. The arguments are those of `explain`.

    Raises:
        FlagError: the combination is invalid (EINVAL), or the kernel would ignore a flag. A ValueError.
        NamespaceError: a privilege is missing (EPERM), or a limit is reached (ENOSPC). A PermissionError.
        UnsupportedError: this kernel is too old.
    """
    asked = flags, api, exit_signal, set_tid
    if situation is None and asked in _always_valid:
        return _always_valid[asked]
    here = situation or Situation()
    request = Request.of(flags, api, exit_signal=exit_signal, set_tid=set_tid)
    if found := next(problems(request, here), None):
        raise _exception(found)
    if situation is None and here.read <= {"kernel"}:
        _always_valid[asked] = request.flags
    return request.flags


def check_thread_flags(share: CloneFlags | int, namespaces: CloneFlags | int) -> int:
    """Returns both as one number, for the clone of a thread.

    Args:
        share: any of FS, FILES and SYSVSEM.
        namespaces: any of `THREAD_NAMESPACES`.

    Raises:
        FlagError, ValueError: the flags break a rule; the message says which.
    """
    share, namespaces = flags_of(share), flags_of(namespaces)
    if extra := share & all_but(SHARE_ALL):
        raise ValueError(f"share= takes FS, FILES and SYSVSEM, not {extra!r}: threads share the rest")
    if extra := namespaces & all_but(THREAD_NAMESPACES):
        raise ValueError(
            f"namespaces= takes NEWNS, NEWUTS, NEWIPC, NEWNET and NEWCGROUP, not {extra!r}: "
            "the kernel refuses those with CLONE_THREAD"
        )
    check(THREAD | share | namespaces, "clone", situation=PERMISSIVE)
    return int(share | namespaces)


def refused(
    code: int,
    flags: CloneFlags | int,
    api: str = "clone3",
    *,
    exit_signal: int | None = None,
    set_tid: bool = False,
    situation: Situation | None = None,
) -> Exception:
    """The exception for a call that the kernel has refused. Its message names the rule that the call breaks, if one is known.

    Args:
        code: the positive errno value; the other arguments are those of `explain`.
    """
    request = Request.of(flags, api, exit_signal=exit_signal, set_tid=set_tid)
    found = [problem for problem in problems(request, situation or Situation()) if problem.errno == code]
    asked = f"{api}({text(request.flags, request.exit_signal)})"
    sentence = found[0].sentence if found else f"{asked}: {os.strerror(code)}{_advice(code, request.flags)}"
    return _exception(Problem(code, sentence, ()))


def _exception(problem: Problem) -> Exception:
    if problem.errno in (errno.EPERM, errno.ENOSPC, errno.EACCES):
        return NamespaceError(problem.errno, problem.sentence)
    if problem.errno == errno.ENOSYS or "needs Linux" in problem.sentence:
        return UnsupportedError(problem.sentence)
    if problem.errno in (errno.EINVAL, errno.EUSERS, 0):
        return FlagError(problem.sentence, problem.errno)
    return OSError(problem.errno, problem.sentence)


def _advice(code: int, flags: CloneFlags) -> str:
    """Possible reasons for an errno that no rule explains."""
    if code == errno.EPERM and flags & F.NEWUSER:
        return "; a chroot, a seccomp filter or a security module may forbid user namespaces"
    if code == errno.ENOSPC:
        return "; a limit in /proc/sys/user/max_*_namespaces is reached, or namespaces are nested too deeply (32)"
    if code == errno.EAGAIN:
        return "; a limit on processes and threads is reached"
    if code == errno.EBUSY and flags & F.INTO_CGROUP:
        return "; a cgroup that enables controllers for its children cannot contain processes"
    return ""
