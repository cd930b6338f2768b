"""One reason for which the kernel refuses a call, and what it is decided on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kthreads.flags.caller import Situation
from kthreads.flags.clone_flags import CloneFlags, flags_of
from kthreads.flags.text import parse

__all__ = ["APIS", "Problem", "Request", "Rule", "Sentence"]

_NONE = CloneFlags(0)

APIS = ("clone", "clone3", "unshare", "setns")

Sentence = Callable[["Request", Situation], str | None]


@dataclass(frozen=True)
class Request:
    """One call: which one of `APIS`, and the flags and the exit signal that it passes."""

    flags: CloneFlags
    api: str = "clone3"
    exit_signal: int = 0
    set_tid: bool = False

    @classmethod
    def of(
        cls, flags: CloneFlags | int | str, api: str, *, exit_signal: int | None = None, set_tid: bool = False
    ) -> Request:
        """A call as people write it down.

        Args:
            flags: flags, a number or a text; with api="clone" their low byte is the exit signal.
            api: one of `APIS`.
            exit_signal: a number from signal(7), or 0; that of `flags` when None.
            set_tid: whether the child is to have an id of the caller's choice.

        Raises:
            ValueError: for a text, a number or an api that means nothing.
            TypeError: for flags or an exit signal that are no int.
        """
        if api not in APIS:
            raise ValueError(f"api must be one of {', '.join(APIS)}, not {api!r}")
        number, named_signal, _ = parse(flags) if isinstance(flags, str) else (flags, 0, None)
        number = int(flags_of(number))
        if api == "clone":
            named_signal, number = named_signal or number & 0xFF, number & ~0xFF
        if exit_signal is None:
            exit_signal = named_signal
        elif not isinstance(exit_signal, int) or isinstance(exit_signal, bool):
            raise TypeError(f"exit_signal must be an int, not {type(exit_signal).__name__}")
        return cls(CloneFlags(number), api, int(exit_signal), set_tid)

    def has(self, flags: CloneFlags) -> CloneFlags:
        """Those of `flags` that are passed."""
        return self.flags & flags

    def has_all(self, flags: CloneFlags) -> bool:
        """Whether all of `flags` are passed."""
        return self.flags & flags == flags


@dataclass(frozen=True)
class Problem:
    """Why a call would not do what it says.

    Attributes:
        errno: what the kernel answers; 0 where it takes the call but ignores what was asked for.
        sentence: what is wrong and what to do.
        ways_out: flags to add and flags to take away, each pair a way out of this problem.
    """

    errno: int
    sentence: str
    ways_out: tuple[tuple[CloneFlags, CloneFlags], ...]


@dataclass(frozen=True)
class Rule:
    """What the kernel refuses with one errno value.

    Attributes:
        apis: the system calls that it holds for.
        errno: the answer; 0 where the kernel ignores what it does not take.
        sentence: says what is wrong; None for a call that keeps to the rule.
        add: flags that, added, may heal the call.
        remove: sets of flags each of which, taken away, may heal it; without any of them the rule holds. Empty where
            it is not about flags alone.
    """

    apis: Sequence[str]
    errno: int
    sentence: Sentence
    add: CloneFlags = _NONE
    remove: Sequence[CloneFlags] = ()

    def judge(self, request: Request, situation: Situation) -> Problem | None:
        """The problem of a call, or None."""
        sentence = self.sentence(request, situation) if request.api in self.apis else None
        if not sentence:
            return None
        adding = [(self.add & ~request.flags, _NONE)] if self.add & ~request.flags else []
        removing = [(_NONE, request.has(flags)) for flags in self.remove if request.has(flags)]
        return Problem(self.errno, sentence, (*adding, *removing))
