"""Calls that the kernel would refuse, refused before it with a sentence; and its refusals, as sentences."""

from __future__ import annotations

import errno
import os

from kthreads.errors import FlagError, NamespaceError, UnsupportedError
from kthreads.flags.caller import Situation
from kthreads.flags.clone_flags import SHARE_ALL, THREAD_NAMESPACES, CloneFlags, flags_of
from kthreads.flags.kernel_rules import problems
from kthreads.flags.rule_model import Problem, Request
from kthreads.flags.text import text

__all__ = ["THREAD", "check", "check_thread_flags", "refused"]

F = CloneFlags

THREAD = F.THREAD | F.SIGHAND | F.VM
"""What makes a clone a thread."""

# A thread is started later, and by whom is not known yet: the combination alone is looked at.
_ANYBODY = Situation(
    sys_admin=True, pid_init=False, pid_pending=False, time_pending=False, user_namespaces=True, exhausted=F(0)
)

# Calls that nothing but the flags and the kernel's version decides: a process is started with the same few all the time.
_always_fine: dict[tuple[CloneFlags | int, str, int | None, bool], CloneFlags] = {}


def check(
    flags: CloneFlags | int,
    api: str = "clone3",
    *,
    exit_signal: int | None = None,
    set_tid: bool = False,
    situation: Situation | None = None,
) -> CloneFlags:
    """Returns the flags, or raises what the kernel would refuse them for, as a sentence.

    For every call of this library that passes flags to the kernel: before it. Arguments as those of `explain`.

    Raises:
        FlagError: the combination is invalid (EINVAL), or the call would silently do something else. A ValueError.
        NamespaceError: a privilege is missing (EPERM), or a limit is reached (ENOSPC). A PermissionError.
        UnsupportedError: this kernel is too old.
    """
    asked = flags, api, exit_signal, set_tid
    if situation is None and asked in _always_fine:
        return _always_fine[asked]
    here = situation or Situation()
    request = Request.of(flags, api, exit_signal=exit_signal, set_tid=set_tid)
    if found := next(problems(request, here), None):
        raise _exception(found)
    if situation is None and here.read <= {"kernel"}:
        _always_fine[asked] = request.flags
    return request.flags


def check_thread_flags(share: CloneFlags | int, namespaces: CloneFlags | int) -> int:
    """The two as one number for the clone of a thread; FlagError or ValueError with the rule that they break.

    Args:
        share: any of FS, FILES and SYSVSEM.
        namespaces: any of `THREAD_NAMESPACES`.
    """
    share, namespaces = flags_of(share), flags_of(namespaces)
    if share & ~SHARE_ALL:
        raise ValueError(f"share= takes FS, FILES and SYSVSEM, not {share & ~SHARE_ALL!r}: threads share the rest")
    if namespaces & ~THREAD_NAMESPACES:
        raise ValueError(
            f"namespaces= takes NEWNS, NEWUTS, NEWIPC, NEWNET and NEWCGROUP, not {namespaces & ~THREAD_NAMESPACES!r}: "
            "the kernel refuses those with CLONE_THREAD"
        )
    check(THREAD | share | namespaces, "clone", situation=_ANYBODY)
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
    """The exception for a call that the kernel has refused: the sentence of the rule that was broken, where one was.

    Args:
        code: the positive errno value; the others are those of `explain`.
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
    """What the kernel may have meant where no rule says it."""
    if code == errno.EPERM and flags & F.NEWUSER:
        return "; this process cannot create a user namespace: it is in a chroot, or seccomp or a security module forbids it"
    if code == errno.ENOSPC:
        return "; a limit in /proc/sys/user/max_*_namespaces is reached, or namespaces are nested too deeply (32)"
    if code == errno.EAGAIN:
        return "; a limit on processes and threads is reached"
    if code == errno.EBUSY and flags & F.INTO_CGROUP:
        return "; a cgroup that has controllers for its children takes no process itself"
    return ""
