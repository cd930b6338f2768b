"""What a combination of flags does, why the kernel would refuse it, and the nearest combination that it accepts."""

from __future__ import annotations

import errno
import heapq
import itertools
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, replace

from kthreads.flags.caller import Situation
from kthreads.flags.clone_flags import CLONE3_ONLY, NAMESPACES, CloneFlags
from kthreads.flags.descriptions import EXIT_SIGNAL, FACTS, Fact, version_text
from kthreads.flags.kernel_rules import problems
from kthreads.flags.rule_model import Problem, Request
from kthreads.flags.text import callers, signal_text, text
from kthreads.flags.warnings import cautions

__all__ = ["Effect", "Explanation", "explain"]

F = CloneFlags

_SHARING = F.VM | F.FS | F.FILES | F.SIGHAND | F.SYSVSEM | F.THREAD
_WIDTH = 100


@dataclass(frozen=True)
class Effect:
    """What one flag does, or what happens without it.

    Attributes:
        name: the flag's name, such as ``CLONE_VM``; the signal's name for the exit signal.
        flag: the flag; 0 for the exit signal.
        text: the effect.
        since: the first kernel that has the flag, such as (5, 2).
        privilege: the privilege that the flag needs; empty for none.
        clone3_only: whether clone(2) cannot carry the flag.
    """

    name: str
    flag: CloneFlags
    text: str
    since: tuple[int, ...]
    privilege: str
    clone3_only: bool


@dataclass(frozen=True)
class Explanation:
    """The result of `explain`. Print it, or read its attributes.

    Attributes:
        flags: the flags, without an exit signal.
        api: the system call.
        exit_signal: the signal that the parent gets when the child ends; 0 for none.
        effects: what each flag does.
        left_out: what happens because a flag that shares something was omitted (clone and clone3).
        problems: the rules that the call breaks, in the order of the kernel's checks; empty when it breaks none.
        cautions: warnings about what the kernel accepts but is useless or dangerous.
        nearest: the nearest flags that have no problem; None when no change of the flags helps.
        nearest_exit_signal: the exit signal for `nearest`.
        callers: the names of well-known functions that pass exactly these flags.
    """

    flags: CloneFlags
    api: str
    exit_signal: int
    effects: tuple[Effect, ...]
    left_out: tuple[Effect, ...]
    problems: tuple[Problem, ...]
    cautions: tuple[str, ...]
    nearest: CloneFlags | None
    nearest_exit_signal: int
    callers: tuple[str, ...]

    @property
    def valid(self) -> bool:
        """Whether the kernel would accept the call and ignore none of its flags."""
        return not self.problems

    @property
    def errno(self) -> int:
        """The errno that the kernel would return; 0 when it would accept the call."""
        return next((problem.errno for problem in self.problems if problem.errno), 0)

    def __str__(self) -> str:
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        number = int(self.flags) | (self.exit_signal if self.api == "clone" else 0)
        yield f"{self.api}({text(self.flags, self.exit_signal)}) = {number:#x}"
        if self.callers:
            yield f"passed by {', '.join(self.callers)}"
        for effect in self.effects:
            yield from _item(effect.name, "; ".join([effect.text, *_needs(effect)]))
        if self.left_out and self.valid:
            yield "omitted:"
            for effect in self.left_out:
                yield from _item(effect.name, effect.text)
        if self.valid:
            yield "valid"
        for problem in self.problems:
            name = errno.errorcode[problem.errno] if problem.errno else "ignored"
            yield from _item(name, problem.sentence)
        if self.problems:
            nearest = "none" if self.nearest is None else text(self.nearest, self.nearest_exit_signal)
            yield from _item("nearest", nearest)
        for caution in self.cautions if self.valid else ():
            yield from _item("warning", caution)


def _item(name: str, words: str) -> Iterator[str]:
    """One entry of a list, its text wrapped beside its name."""
    lead = f"  {name:<22} "
    return iter(
        textwrap.wrap(
            words,
            _WIDTH,
            initial_indent=lead,
            subsequent_indent=" " * len(lead),
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def _needs(effect: Effect) -> Iterator[str]:
    if effect.privilege:
        yield f"needs {effect.privilege}"
    if effect.since >= (4,):
        yield f"from {version_text(effect.since)} on"
    if effect.clone3_only:
        yield "clone3 only" if effect.flag != F.NEWTIME else "clone3 and unshare only"


def explain(
    flags: CloneFlags | int | str,
    api: str = "clone3",
    *,
    exit_signal: int | None = None,
    set_tid: bool = False,
    situation: Situation | None = None,
) -> Explanation:
    """Explains a combination of flags: what it shares and isolates, and whether the kernel would accept it.

    Args:
        flags: flags, a number as strace prints it, or a text such as ``"CLONE_VM|CLONE_FILES"`` or ``"fork"``.
            With api="clone" the low byte is the exit signal, as in the system call.
        api: "clone", "clone3", "unshare" or "setns" (the types of the namespaces to enter).
        exit_signal: the signal that the parent gets when the child ends; that of `flags` when None.
        set_tid: whether the caller chooses the child's id.
        situation: the caller and the system; those of the calling thread when None.

    Raises:
        ValueError: a text, a number or an api is invalid.
    """
    request = Request.of(flags, api, exit_signal=exit_signal, set_tid=set_tid)
    situation = situation or Situation()
    nearest = _nearest(request, situation)
    return Explanation(
        flags=request.flags,
        api=api,
        exit_signal=request.exit_signal,
        effects=tuple(_effects(request)),
        left_out=tuple(_left_out(request)),
        problems=tuple(problems(request, situation)),
        cautions=tuple(cautions(request)),
        nearest=None if nearest is None else nearest.flags,
        nearest_exit_signal=0 if nearest is None else nearest.exit_signal,
        callers=callers(request.flags, request.exit_signal) if api in ("clone", "clone3") else (),
    )


def _effects(call: Request) -> Iterator[Effect]:
    for flag in FACTS:
        if call.has(flag):
            yield _effect(flag, FACTS[flag], _words(call.api, flag))
    if call.exit_signal:
        yield Effect(signal_text(call.exit_signal), F(0), EXIT_SIGNAL.given, EXIT_SIGNAL.since, "", False)


def _words(api: str, flag: CloneFlags) -> str:
    fact = FACTS[flag]
    if api == "unshare":
        return fact.unshared or fact.given.replace("the child", "the thread")
    if api == "setns" and flag & NAMESPACES:
        subject = "the thread's children enter" if flag & (F.NEWPID | F.NEWTIME) else "the thread enters"
        return fact.given.partition(":")[0].replace("a new", f"{subject} the target's")
    return fact.given


def _left_out(call: Request) -> Iterator[Effect]:
    if call.api in ("clone", "clone3"):
        for flag in _SHARING & ~call.has(_SHARING):
            yield _effect(flag, FACTS[flag], FACTS[flag].absent)


def _effect(flag: CloneFlags, fact: Fact, words: str) -> Effect:
    return Effect(text(flag), flag, words, fact.since, fact.privilege, bool(flag & CLONE3_ONLY))


# What a change costs: adding a flag is cheaper than removing one, and removing a thread or namespace flag costs most.
_ADDING, _REMOVING = 1, 3
_REMOVING_COSTLY = {F.THREAD: 6, **dict.fromkeys(NAMESPACES, 5)}
_MOST_TRIED = 500


def _nearest(request: Request, situation: Situation) -> Request | None:
    """The valid call that the cheapest changes lead to: Dijkstra's algorithm over the rules' ways out."""
    number = itertools.count()  # orders calls of equal cost by insertion, so that calls are never compared
    queue = [(0, next(number), request)]
    tried: set[Request] = set()
    while queue and len(tried) < _MOST_TRIED:
        cost, _, call = heapq.heappop(queue)
        if call in tried:
            continue
        tried.add(call)
        problem = next(problems(call, situation), None)
        if problem is None:
            return call
        for added, removed in problem.ways_out:
            price = _ADDING * len(added) + sum(_REMOVING_COSTLY.get(flag, _REMOVING) for flag in removed)
            changed = replace(call, flags=F(int(call.flags) & ~int(removed) | int(added)))
            heapq.heappush(queue, (cost + price, next(number), changed))
        if call.exit_signal:
            heapq.heappush(queue, (cost + _ADDING, next(number), replace(call, exit_signal=0)))
    return None
