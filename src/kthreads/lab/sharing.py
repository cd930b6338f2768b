"""Experiments with what two tasks share besides memory: directory, descriptors, signal handlers, undo lists, I/O priority."""

from __future__ import annotations

import errno
import signal
import struct

from kthreads.flags.clone_flags import CloneFlags
from kthreads.lab.experiment import Missing, Variant, accepted, experiment, play
from kthreads.lab.stage import Place, Script, Stage, Step

__all__ = ["clear_sighand", "files", "fs", "io", "sighand", "sysvsem"]

F = CloneFlags

_AT_FDCWD = -100
_F_GETFD = 1
_IPC_PRIVATE, _IPC_CREAT, _IPC_RMID, _GETVAL, _SETVAL, _SEM_UNDO = 0, 0o1000, 0, 12, 16, 0x1000
_IOPRIO_WHO_PROCESS, _IOPRIO_CLASS_BE = 1, 2 << 13


@experiment(F.FS, "The child changes its working directory from /usr to /. Where is its creator afterwards?")
def fs(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_FS: one working directory, or one each."""
    creator, child = stage.script(), stage.script()
    there, here = stage.place(256), stage.place(256)
    child("chdir", "/")
    child("getcwd", there, 256)
    creator("chdir", "/usr")
    made = creator.clone(child, variant.flags, variant.exit_signal)
    creator("reap")
    creator("getcwd", here, 256)
    play(stage, creator, made, variant)
    return {"the child is in": there.text, "the creator is in": here.text}


@experiment(F.FILES, "The child closes a descriptor of its creator and opens another. Which are open in the creator?")
def files(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_FILES: one table of descriptors, or one each."""
    creator, child = stage.script(), stage.script()
    old = creator("openat", _AT_FDCWD, "/dev/null", 0)
    new = child("openat", _AT_FDCWD, "/", 0)
    child("close", old)
    made = creator.clone(child, variant.flags, variant.exit_signal)
    creator("reap")
    closed, opened = creator("fcntl", old, _F_GETFD), creator("fcntl", new, _F_GETFD)
    play(stage, creator, made, variant)
    return {
        "the descriptor that the child closed": "open" if closed.result >= 0 else closed.outcome,
        "the descriptor that the child opened": "open" if opened.result >= 0 else opened.outcome,
    }


def _action(stage: Stage, handler: int) -> Place:
    """struct sigaction of the kernel: handler, flags, restorer, mask."""
    return stage.place(content=struct.pack("=QQQQ", handler, 0, 0, 0))


def _handler(action: Place) -> str:
    (number,) = struct.unpack_from("=Q", action.raw)
    return {0: "default", 1: "ignored"}.get(number, "a handler")


def _look(stage: Stage, script: Script, number: int) -> Place:
    found = stage.place(32)
    script("rt_sigaction", number, 0, found, 8)
    return found


@experiment(F.SIGHAND, "The child ignores SIGUSR1. What does SIGUSR1 do in its creator?", base=F.VM)
def sighand(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_SIGHAND: one table of handlers, or one each."""
    creator, child = stage.script(), stage.script()
    creator("rt_sigaction", signal.SIGUSR1, _action(stage, 0), 0, 8)
    child("rt_sigaction", signal.SIGUSR1, _action(stage, 1), 0, 8)
    there = _look(stage, child, signal.SIGUSR1)
    made = creator.clone(child, variant.flags, variant.exit_signal)
    creator("reap")
    here = _look(stage, creator, signal.SIGUSR1)
    play(stage, creator, made, variant)
    return {"SIGUSR1 in the child": _handler(there), "SIGUSR1 in the creator": _handler(here)}


@experiment(F.CLEAR_SIGHAND, "The creator handles SIGUSR1 and ignores SIGUSR2. What are their actions in the child?")
def clear_sighand(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_CLEAR_SIGHAND: handlers are reset, what is ignored stays."""
    creator, child = stage.script(), stage.script()
    creator(
        "rt_sigaction", signal.SIGUSR1, _action(stage, 4096), 0, 8
    )  # the signal stays blocked, so the handler never runs
    creator("rt_sigaction", signal.SIGUSR2, _action(stage, 1), 0, 8)
    first, second = _look(stage, child, signal.SIGUSR1), _look(stage, child, signal.SIGUSR2)
    made = creator.clone(child, variant.flags, variant.exit_signal)
    creator("reap")
    play(stage, creator, made, variant)
    return {"SIGUSR1 in the child": _handler(first), "SIGUSR2 in the child": _handler(second)}


@experiment(F.SYSVSEM, "The child takes a semaphore with SEM_UNDO and ends. Is it released while the creator runs?")
def sysvsem(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_SYSVSEM: one list of operations to undo, or one each."""
    creator, child = stage.script(), stage.script()
    semaphore = creator("semget", _IPC_PRIVATE, 1, _IPC_CREAT | 0o600)
    creator("semctl", semaphore, 0, _SETVAL, 1)
    child("semop", semaphore, stage.place(content=struct.pack("=Hhh", 0, -1, _SEM_UNDO)), 1)
    taken = child("semctl", semaphore, 0, _GETVAL)
    made = creator.clone(child, variant.flags, variant.exit_signal)
    creator("reap")
    after = creator("semctl", semaphore, 0, _GETVAL)
    creator("semctl", semaphore, 0, _IPC_RMID)
    stage.play(creator)
    _possible(semaphore, "System V semaphores")
    accepted(made, variant)
    return {"its value while the child holds it": taken.result, "its value after the child has ended": after.result}


@experiment(F.IO, "The child lowers its I/O priority from level 4 to 7. Which level does its creator have afterwards?")
def io(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_IO: one I/O context, or one each."""
    creator, child = stage.script(), stage.script()
    set_up = creator("ioprio_set", _IOPRIO_WHO_PROCESS, 0, _IOPRIO_CLASS_BE | 4)
    child("ioprio_set", _IOPRIO_WHO_PROCESS, 0, _IOPRIO_CLASS_BE | 7)
    there = child("ioprio_get", _IOPRIO_WHO_PROCESS, 0)
    made = creator.clone(child, variant.flags, variant.exit_signal)
    creator("reap")
    here = creator("ioprio_get", _IOPRIO_WHO_PROCESS, 0)
    stage.play(creator)
    _possible(set_up, "I/O priorities")
    accepted(made, variant)
    return {"the child's level": there.result & 7, "the creator's level": here.result & 7}


def _possible(step: Step, what: str) -> None:
    if step.result < 0:
        raise Missing(f"this process cannot use {what}: {errno.errorcode[-step.result]}")
