"""A call, a rule of the kernel, and the problem of a call that breaks the rule."""

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
    """One call: the system call, one of `APIS`, and the flags and the exit signal that it passes."""

    flags: CloneFlags
    api: str = "clone3"
    exit_signal: int = 0
    set_tid: bool = False

    @classmethod
    def of(
        cls, flags: CloneFlags | int | str, api: str, *, exit_signal: int | None = None, set_tid: bool = False
    ) -> Request:
        """A call from the arguments of `explain`.

        Args:
            flags: flags, a number or a text; with api="clone" their low byte is the exit signal.
            api: one of `APIS`.
            exit_signal: a number from signal(7), or 0; that of `flags` when None.
            set_tid: whether the caller chooses the child's id.

        Raises:
            ValueError: a text, a number or an api is invalid.
            TypeError: the flags or the exit signal are not an int.
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
        """The flags among `flags` that the call passes."""
        return self.flags & flags

    def has_all(self, flags: CloneFlags) -> bool:
        """Whether the call passes all of `flags`."""
        return self.flags & flags == flags


@dataclass(frozen=True)
class Problem:
    """Why the kernel would refuse a call, or ignore a part of it.

    Attributes:
        errno: the errno that the kernel returns; 0 where it accepts the call but ignores a flag.
        sentence: the rule that the call breaks, and how to change the call.
        ways_out: pairs of flags to add and flags to remove; each pair removes this problem.
    """

    errno: int
    sentence: str
    ways_out: tuple[tuple[CloneFlags, CloneFlags], ...]


@dataclass(frozen=True)
class Rule:
    """A rule of the kernel: calls that it refuses with one errno value.

    Attributes:
        apis: the system calls that the rule applies to.
        errno: the errno that the kernel returns; 0 where it ignores the flags instead.
        sentence: returns why a call breaks the rule; None for a call that obeys it.
        add: flags that may make the call valid when they are added.
        remove: sets of flags; removing one set may make the call valid. A call without any of them obeys the rule. Empty
            where the rule is not only about flags.
    """

    apis: Sequence[str]
    errno: int
    sentence: Sentence
    add: CloneFlags = _NONE
    remove: Sequence[CloneFlags] = ()

    def judge(self, request: Request, situation: Situation) -> Problem | None:
        """The problem of a call that breaks this rule; None for a call that obeys it."""
        sentence = self.sentence(request, situation) if request.api in self.apis else None
        if not sentence:
            return None
        adding = [(self.add & ~request.flags, _NONE)] if self.add & ~request.flags else []
        removing = [(_NONE, request.has(flags)) for flags in self.remove if request.has(flags)]
        return Problem(self.errno, sentence, (*adding, *removing))
