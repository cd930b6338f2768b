"""The identity of the child: thread or process, its parent, its pidfd, and its exit signal."""

from __future__ import annotations

import signal
import struct

from kthreads.flags.clone_flags import CloneFlags
from kthreads.lab.experiment import EXIT, Variant, experiment, of_variants, play
from kthreads.lab.stage import Content, Stage

__all__ = ["exit_signal", "parent", "pidfd", "thread"]

F = CloneFlags

_WHILE = 5_000_000_000
_MOMENT = struct.pack("=qq", 0, 200_000_000)
_WALL = 0x40000000


@experiment(
    F.THREAD, "Both ask for their ids. Is the child a process, and can its creator wait for it?", base=F.VM | F.SIGHAND
)
def thread(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_THREAD: a thread of the same process, or another process."""
    creator, child = stage.script(), stage.script()
    asked, enough = stage.place(), stage.place()
    pid, tid = child("getpid"), child("gettid")
    child("tell", asked, 1)
    child("await", enough, 1, _WHILE)
    own = creator("getpid")
    made = creator.clone(child, variant.flags, variant.exit_signal)
    creator("await", asked, 1, _WHILE)
    creator("tell", enough, 1)
    waited = creator("wait4", made, 0, _WALL, 0)
    creator("reap")
    play(stage, creator, made, variant)
    return {
        "getpid in the child": "the creator's" if pid.result == own.result else "its own",
        "gettid in the child": "the same as getpid" if tid.result == pid.result else "another",
        "the creator's wait4": "returns the child" if waited.result == made.result else f"fails: {waited.outcome}",
    }


@experiment(F.PARENT, "The child asks for its parent. Is it the creator?")
def parent(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_PARENT: the creator's child, or its sibling."""
    grandparent, creator, child = stage.script(), stage.script(), stage.script()
    known = child("getppid")
    own, above = creator("getpid"), creator("getppid")
    made = creator.clone(child, variant.flags, variant.exit_signal)
    reaped = creator("reap")
    grandparent.clone(creator, 0, signal.SIGCHLD)
    left = grandparent("reap")
    play(stage, grandparent, made, variant)
    names = {own.result: "the creator", above.result: "the creator's parent"}
    return {
        "the child's parent": names.get(known.result, "another process"),
        "children that the creator reaped": reaped.result,
        "children that its parent reaped": left.result,
    }


@experiment(
    F.PIDFD,
    "The creator passes an address for a descriptor to clone. What does the kernel store there, and what can it signal?",
)
def pidfd(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_PIDFD: a descriptor that refers to the child, and never to another process."""
    creator, child = stage.script(), stage.script()
    place, enough = stage.place(content=struct.pack("=q", -1)), stage.place()
    child("await", enough, 1, _WHILE)
    made = creator.clone(child, variant.flags, variant.exit_signal, pidfd=place)
    living = creator("pidfd_send_signal", Content(place), 0, 0, 0)
    creator("tell", enough, 1)
    creator("reap")
    gone = creator("pidfd_send_signal", Content(place), 0, 0, 0)
    play(stage, creator, made, variant)
    return {
        "the creator finds": "nothing" if place.number == -1 else "a descriptor",
        "signal 0 through it to the living child": living.outcome,
        "signal 0 through it after the child was waited for": gone.outcome,
    }


@of_variants(
    EXIT,
    "The child ends. Which signal does its creator get, and does waitpid find it?",
    [
        Variant("none", F(0), 0),
        Variant("SIGCHLD", F(0), signal.SIGCHLD),
        Variant("SIGUSR1", F(0), signal.SIGUSR1),
    ],
)
def exit_signal(stage: Stage, variant: Variant) -> dict[str, object]:
    """The exit signal: which signal the parent gets, and how it can wait."""
    creator = stage.script()
    everything = stage.place(content=b"\xff" * 8)
    made = creator.clone(stage.script(), variant.flags, variant.exit_signal)
    told = creator("rt_sigtimedwait", everything, 0, stage.place(content=_MOMENT), 8)
    plain = creator("wait4", made, 0, 0, 0)
    all_kinds = creator("wait4", made, 0, _WALL, 0)
    play(stage, creator, made, variant)

    def found(result: int) -> str:
        return "finds it" if result == made.result else "ECHILD"

    return {
        "the creator gets": signal.Signals(told.result).name if told.result > 0 else "no signal",
        "waitpid(child)": found(plain.result),
        "waitpid(child, __WALL)": "(waited for already)" if plain.result > 0 else found(all_kinds.result),
    }
