"""Experiments with memory: shared memory, the thread pointer, ids that the kernel stores, and the suspended creator."""

from __future__ import annotations

from kthreads._native import ffi, lib
from kthreads.flags.clone_flags import CloneFlags
from kthreads.lab.experiment import Variant, experiment, play
from kthreads.lab.stage import Stage

__all__ = ["child_cleartid", "child_settid", "parent_settid", "settls", "vfork", "vm"]

F = CloneFlags

_MOMENT = 50_000_000  # ns that the child waits for its creator to continue
_WHILE = 5_000_000_000


def _private_word() -> int:
    """The address of a word in the memory of each process, not on the stage."""
    return int(ffi.cast("uintptr_t", lib.kt_lab_word()))


@experiment(F.VM, "The child stores 42 in a variable of its creator. What does the creator read there afterwards?")
def vm(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_VM: one memory, or a copy."""
    creator, child = stage.script(), stage.script()
    child("store", _private_word(), 42)
    read = child("load", _private_word())
    creator("store", _private_word(), 1)
    made = creator.clone(child, variant.flags, variant.exit_signal)
    creator("reap")
    found = creator("load", _private_word())
    play(stage, creator, made, variant)
    return {"the child reads": read.result, "the creator reads afterwards": found.result}


@experiment(
    F.SETTLS,
    "The creator and the child read their thread pointers, through which C finds errno. Are they the same?",
    base=F.VM,
)
def settls(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_SETTLS: the child has its own thread pointer."""
    creator, child = stage.script(), stage.script()
    block = stage.place(4096)
    own = creator("thread_pointer")
    given = child("thread_pointer")
    made = creator.clone(child, variant.flags, variant.exit_signal, tls=block.address + 2048)
    creator("reap")
    play(stage, creator, made, variant)
    whose = "the creator's" if given.result == own.result else "the one that clone was given"
    known = given.result in (own.result, block.address + 2048)
    return {"the child's thread pointer is": whose if known else "neither"}


@experiment(F.VFORK, "The child waits 50 ms for its creator to continue. Does the creator continue?")
def vfork(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_VFORK: the creator is suspended."""
    creator, child = stage.script(), stage.script()
    ran_on, ended = stage.place(), stage.place()
    waited = child("await", ran_on, 1, _MOMENT)
    child("store", ended, 1)
    made = creator.clone(child, variant.flags, variant.exit_signal)
    seen = creator("load", ended)
    creator("tell", ran_on, 1)
    creator("reap")
    play(stage, creator, made, variant)
    return {
        "the creator continues while the child runs": "no" if waited.result < 0 else "yes",
        "the child has ended when clone returns": "yes" if seen.result else "no",
    }


def _id_or_nothing(number: int, child: int) -> str:
    return "nothing" if number == 0 else "the child's id" if number == child else str(number)


@experiment(F.PARENT_SETTID, "The creator passes an address in its memory to clone. What does it contain after clone?")
def parent_settid(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_PARENT_SETTID: the id in the creator's memory."""
    creator, place = stage.script(), _private_word()
    creator("store", place, 0)
    made = creator.clone(stage.script(), variant.flags, variant.exit_signal, parent_tid=place)
    found = creator("load", place)
    creator("reap")
    play(stage, creator, made, variant)
    return {"the creator finds": _id_or_nothing(found.result, made.result)}


@experiment(
    F.CHILD_SETTID,
    "The creator passes an address in the child's memory to clone. What does it contain when the child starts?",
)
def child_settid(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_CHILD_SETTID: the id in the child's memory, which need not be the creator's."""
    creator, child, place = stage.script(), stage.script(), _private_word()
    found = child("load", place)
    creator("store", place, 0)
    made = creator.clone(child, variant.flags, variant.exit_signal, child_tid=place)
    creator("reap")
    own = creator("load", place)
    play(stage, creator, made, variant)
    return {
        "the child finds": _id_or_nothing(found.result, made.result),
        "the creator finds at the same address": _id_or_nothing(own.result, made.result),
    }


@experiment(
    F.CHILD_CLEARTID,
    "A word contains 1 while the child runs. What does it contain after the child has ended?",
    base=F.VM,
)
def child_cleartid(stage: Stage, variant: Variant) -> dict[str, object]:
    """CLONE_CHILD_CLEARTID: the end of the child, as a word in memory and a futex wake."""
    creator, child = stage.script(), stage.script()
    word, begun = stage.place(), stage.place()
    creator("store", word, 1)
    child("tell", begun, 1)
    made = creator.clone(child, variant.flags, variant.exit_signal, child_tid=word)
    creator("await", begun, 1, _WHILE)
    waited = creator("await", word, 0, 4 * _MOMENT)
    creator("reap")
    found = creator("load", word)
    play(stage, creator, made, variant)
    return {
        "a futex wait for 0 in it": "returns" if waited.result == 0 else "times out",
        "the word afterwards": found.result,
    }
