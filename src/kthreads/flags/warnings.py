"""Warnings about flags that the kernel accepts but that are useless or dangerous: one sentence each."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence

from kthreads.flags.clone_flags import CloneFlags
from kthreads.flags.rule_model import Request

__all__ = ["cautions"]

F = CloneFlags

_CLONES = ("clone", "clone3")
_MAKERS = ("clone", "clone3", "unshare")
_HARMLESS = {signal.SIGCHLD, signal.SIGURG, signal.SIGWINCH, signal.SIGCONT}

_CAUTIONS: Sequence[tuple[Sequence[str], Callable[[Request], object], str]] = (
    (
        _CLONES,
        lambda call: call.has(F.VM | F.VFORK) == F.VM,
        "CLONE_VM: give the child its own stack; without one, the child and its creator run on the same stack",
    ),
    (
        _CLONES,
        lambda call: call.has(F.VM | F.VFORK | F.SETTLS) == F.VM,
        "CLONE_VM without CLONE_SETTLS: both have the same errno and thread-local variables, so the child must not call "
        "a libc function that uses them",
    ),
    (
        _CLONES,
        lambda call: call.has(F.VM | F.VFORK | F.THREAD) == F.VM,
        "CLONE_VM without CLONE_THREAD: two processes use one heap; run only native functions that share no state with "
        "the creator, never Python code",
    ),
    (
        _CLONES,
        lambda call: not call.has(F.VM),
        "without CLONE_VM this is a fork: locks that other threads hold stay locked in the child, so Python code in it "
        "needs the interpreter's fork hooks, and other code may only make system calls",
    ),
    (
        _CLONES,
        lambda call: call.has(F.VM | F.VFORK) == F.VFORK,
        "CLONE_VFORK without CLONE_VM: the creator waits, and the kernel still copies the memory",
    ),
    (
        _CLONES,
        lambda call: call.has(F.VM | F.VFORK) == F.VM | F.VFORK,
        "CLONE_VM with CLONE_VFORK: until the child executes a program, it must not change memory that its creator "
        "uses afterwards",
    ),
    (
        _CLONES,
        lambda call: call.has(F.VM | F.SETTLS) == F.SETTLS,
        "CLONE_SETTLS without CLONE_VM: libc in the child finds its state only at the creator's thread pointer",
    ),
    (
        _CLONES,
        lambda call: call.has(F.THREAD | F.CHILD_CLEARTID) == F.THREAD,
        "CLONE_THREAD without CLONE_CHILD_CLEARTID: the creator cannot know when the thread no longer uses its stack",
    ),
    (
        _CLONES,
        lambda call: not call.has(F.THREAD | F.PARENT | F.AUTOREAP) and not call.exit_signal,
        "no exit signal: wait() finds the child only with __WALL or __WCLONE",
    ),
    (
        _CLONES,
        lambda call: (
            0 < call.exit_signal <= 64 and call.exit_signal not in _HARMLESS and not call.has(F.THREAD | F.PARENT)
        ),
        "the exit signal ends a parent that has no handler for it, and wait() finds the child only with __WALL or "
        "__WCLONE",
    ),
    (
        ("clone",),
        lambda call: call.exit_signal and call.has(F.THREAD | F.PARENT),
        "the exit signal is ignored with CLONE_THREAD and CLONE_PARENT",
    ),
    (("clone",), lambda call: call.has(F.DETACHED), "CLONE_DETACHED has no effect"),
    (
        _CLONES,
        lambda call: call.has(F.PTRACE | F.UNTRACED),
        "CLONE_PTRACE and CLONE_UNTRACED have an effect only while a debugger traces the creator",
    ),
    (
        ("clone3",),
        lambda call: call.has(F.INTO_CGROUP),
        "CLONE_INTO_CGROUP needs a descriptor of the cgroup's directory",
    ),
    (
        ("clone3",),
        lambda call: call.has_all(F.NEWTIME | F.VM),
        "CLONE_NEWTIME with CLONE_VM: the child enters the time namespace when it executes a program",
    ),
    (
        _MAKERS,
        lambda call: call.has(F.NEWUSER),
        "CLONE_NEWUSER: all ids are 65534 until uid_map and gid_map are written; without privilege, deny setgroups first",
    ),
    (
        _MAKERS,
        lambda call: call.has(F.NEWNS),
        "CLONE_NEWNS: make / private recursively first, or mounts propagate to the namespaces that share /",
    ),
    (
        _CLONES,
        lambda call: call.has(F.NEWPID),
        "CLONE_NEWPID: the child is init: it must reap orphans, and when it ends, the kernel kills all other processes in "
        "the namespace; mount /proc again",
    ),
    (
        ("unshare",),
        lambda call: call.has(F.NEWPID | F.NEWTIME),
        "CLONE_NEWPID and CLONE_NEWTIME apply to future children, not to the calling thread",
    ),
    (_MAKERS, lambda call: call.has(F.NEWNET), "CLONE_NEWNET: the loopback is down until a process brings it up"),
    (
        ("unshare",),
        lambda call: call.has(F.THREAD | F.SIGHAND | F.VM),
        "unshare of CLONE_THREAD, CLONE_SIGHAND or CLONE_VM has no effect other than to fail if the caller shares them",
    ),
    (
        ("unshare",),
        lambda call: call.has(F.NEWNS | F.NEWUSER) and not call.has(F.FS),
        "CLONE_NEWNS and CLONE_NEWUSER imply CLONE_FS: the thread then has its own working directory",
    ),
)


def cautions(call: Request) -> Iterator[str]:
    """The warnings that apply to a call."""
    for apis, applies, sentence in _CAUTIONS:
        if call.api in apis and applies(call):
            yield sentence
