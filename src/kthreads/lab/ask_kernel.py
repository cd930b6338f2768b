"""Finds out how the running kernel answers a call, by making the call in a process of its own."""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence

from kthreads.flags.clone_flags import NAMESPACES, CloneFlags
from kthreads.flags.rule_model import Request
from kthreads.lab.stage import Content, Place, Script, Stage, Step

__all__ = ["answers"]

_AT_ONCE = 100
_SIZE = 4 << 20
_PATIENCE = 100.0  # seconds: many processes ask, and the machine may be busy

Preparation = Callable[[Stage, Script], Place | None]


def _nothing(_stage: Stage, _script: Script) -> None:
    """No preparation."""


def answers(calls: Sequence[Request], *, prepare: Preparation = _nothing, flags: CloneFlags | int = 0) -> list[int]:
    """The errno value that the kernel returns for each call; 0 for a call that it accepts.

    One process makes all clones, one after another. Each unshare and setns is called in a process of its own. setns
    enters the namespaces of a child that has its own namespaces of the requested kinds.

    Args:
        calls: the calls to make.
        prepare: adds the first steps, such as dropping privileges, to a script. Returns None, or a place where a child
            that it has created waits for 1.
        flags: the flags of the process that makes the calls.

    Raises:
        OSError: that process could not be created.
    """
    found: list[int] = []
    for start in range(0, len(calls), _AT_ONCE):
        with Stage(_SIZE) as stage:
            company = _Company(stage, prepare, flags)
            steps = [company.add(call) for call in calls[start : start + _AT_ONCE]]
            company.play()
            found += [max(0, -step.result) for step in steps]
    return found


class _Company:
    """The processes that make some calls on one stage."""

    def __init__(self, stage: Stage, prepare: Preparation, flags: CloneFlags | int) -> None:
        self._stage, self._prepare, self._flags = stage, prepare, flags
        self._maker = stage.script(4 * _AT_ONCE + 32)
        self._idle = stage.script(1)
        self._tid, self._tls = stage.place(), stage.place(4096)
        self._prepared = False
        self._waiting: Place | None = None

    def add(self, call: Request) -> Step:
        return self._add_clone(call) if call.api in ("clone", "clone3") else self._add_change(call)

    def _add_clone(self, call: Request) -> Step:
        if not self._prepared:
            self._waiting = self._prepare(self._stage, self._maker)
            self._prepared = True
        pidfd = self._stage.place()
        step = self._maker.clone(
            self._idle,
            call.flags,
            call.exit_signal,
            child_tid=self._tid,
            parent_tid=self._tid,
            pidfd=pidfd,
            tls=self._tls.address + 2048,
            by_clone=int(call.api == "clone"),
        )
        if call.flags & CloneFlags.PIDFD:
            self._maker("close", Content(pidfd))
        return step

    def _add_change(self, call: Request) -> Step:
        script = self._stage.script(24)
        if call.api == "unshare":
            self._prepare(self._stage, script)
            step = script("unshare", int(call.flags))
        else:
            step = self._setns(script, call)
        script("exit_group", 0)  # ends the threads that `prepare` has created; its processes end by themselves
        self._maker.clone(script, 0, signal.SIGCHLD)
        self._maker("wait4", -1, 0, 0, 0)
        return step

    def _setns(self, script: Script, call: Request) -> Step:
        self._prepare(self._stage, script)
        ready, enough = self._stage.place(), self._stage.place()
        target = self._stage.script(4)
        target("prctl", 1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        target("tell", ready, 1)
        target("await", enough, 1, int(_PATIENCE * 1e9))
        own = call.flags & NAMESPACES | CloneFlags.NEWUSER  # in it, an unprivileged process can create the others
        made = script.clone(target, own, signal.SIGCHLD)
        script("await", ready, 1, int(_PATIENCE * 1e9))
        pidfd = script("pidfd_open", made, 0)
        step = script("setns", pidfd, int(call.flags))
        script("tell", enough, 1)
        return step

    def play(self) -> None:
        if self._waiting:
            self._maker("tell", self._waiting, 1)
        self._maker("reap")
        outer = self._stage.script(4)
        outer.clone(self._maker, self._flags, signal.SIGCHLD)
        outer("reap")  # also reaps the children that were created with CLONE_PARENT
        self._stage.play(outer, patience=_PATIENCE)
