"""A scenario: the conditions under which peers are compared."""

from __future__ import annotations

from dataclasses import dataclass

from kthreads.bench.model.suites import SUITES


@dataclass(frozen=True, order=True)
class Scenario:
    """A case of a suite, pinned or not. Peers are compared within it.

    Attributes:
        suite: the suite's name.
        value: the case as a number, for the axis of a plot.
        case: the case as a text; "" where a suite has one case.
        pinned: whether the process was kept to as few CPUs as the case needs.
    """

    suite: str
    value: float
    case: str
    pinned: bool

    @property
    def title(self) -> str:
        """The scenario in words, for a heading."""
        case = f", {self.case}" if self.case else ""
        return f"{SUITES[self.suite].title}{case}{', pinned' if self.pinned else ''}"
