"""An experiment: creates the same child with and without a flag, and reports what each did."""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from kthreads.flags.caller import Situation
from kthreads.flags.check import refused
from kthreads.flags.clone_flags import CloneFlags
from kthreads.flags.descriptions import EXIT_SIGNAL, FACTS, version_text
from kthreads.flags.text import text
from kthreads.lab.stage import Script, Stage, Step

__all__ = [
    "EXPERIMENTS",
    "EXIT",
    "Experiment",
    "Missing",
    "Outcome",
    "Row",
    "Variant",
    "accepted",
    "experiment",
    "play",
]

EXIT = "EXIT_SIGNAL"
"""The name of the experiment with the exit signal, which is not a flag."""


class Variant(NamedTuple):
    """One way to create the child: a heading, the flags and the exit signal."""

    heading: str
    flags: CloneFlags
    exit_signal: int


class Row(NamedTuple):
    """One observation, and its result in each variant."""

    what: str
    seen: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """The result of an experiment.

    Attributes:
        name: the name of the flag, such as ``"FS"``.
        question: what the experiment does, and the question that it answers.
        variants: the ways in which the child was created.
        rows: the observations, each with its result in each variant.
        reason: why the flag has this effect.
        missing: why this system cannot run the experiment, such as what the kernel refused; empty if it ran.
    """

    name: str
    question: str
    variants: tuple[Variant, ...]
    rows: tuple[Row, ...]
    reason: str
    missing: str = ""

    def seen(self, what: str) -> tuple[str, ...]:
        """The results of one observation, by variant. KeyError for an unknown observation."""
        for row in self.rows:
            if row.what == what:
                return row.seen
        raise KeyError(what)


class Missing(Exception):
    """This system cannot run the experiment; the message says why."""


Body = Callable[[Stage, Variant], Mapping[str, object]]


class Experiment(NamedTuple):
    """One experiment. Call it to run it."""

    name: str
    question: str
    variants: tuple[Variant, ...]
    body: Body
    reason: str = ""
    """Why the flag has the effect that the experiment shows."""

    def __call__(self) -> Outcome:
        seen: list[Mapping[str, object]] = []
        missing = ""
        try:
            for variant in self.variants:
                with Stage() as stage:
                    seen.append(self.body(stage, variant))
        except Missing as why:
            missing = str(why)
        rows = () if missing else tuple(Row(what, tuple(str(column[what]) for column in seen)) for what in seen[0])
        return Outcome(self.name, self.question, self.variants, rows, self.reason, missing)


EXPERIMENTS: dict[str, Experiment] = {}
"""All experiments, by the name of the flag."""


def experiment(
    flag: CloneFlags, question: str, *, base: CloneFlags | int = 0, exit_signal: int = 17
) -> Callable[[Body], Experiment]:
    """Decorates a function that creates a child as a variant says and returns its observations; makes an experiment of it.

    Args:
        flag: the flag to show.
        question: what the experiment does, and the question that it answers.
        base: the flags of the child in both variants.
        exit_signal: the exit signal of the child in both variants; SIGCHLD by default.
    """
    with_it = CloneFlags(base) | flag
    variants = (
        Variant(f"without {text(flag)}", CloneFlags(base), exit_signal),
        Variant(f"with {text(flag)}", with_it, 0 if with_it & (CloneFlags.THREAD | CloneFlags.PARENT) else exit_signal),
    )
    assert flag.name is not None
    return of_variants(flag.name, question, variants)


def of_variants(
    name: str, question: str, variants: Sequence[Variant], *, reason: str | None = None
) -> Callable[[Body], Experiment]:
    """As `experiment`, for variants that differ in something other than one flag.

    Args:
        name: of the experiment: of a flag, `EXIT`, or with a reason any.
        question: as for `experiment`.
        variants: the columns of the outcome.
        reason: why it is so; None for what is known of the flag.
    """
    if reason is None:
        reason = (EXIT_SIGNAL if name == EXIT else FACTS[CloneFlags[name]]).why

    def enter(body: Body) -> Experiment:
        made = EXPERIMENTS[name] = Experiment(name, question, tuple(variants), body, reason)
        return made

    return enter


def play(stage: Stage, script: Script, made: Step, variant: Variant) -> None:
    """Plays a script; raises `Missing` if the kernel refused to create the child."""
    stage.play(script)
    accepted(made, variant)


def accepted(step: Step, variant: Variant) -> Step:
    """Returns the step that created the child; raises `Missing` if the kernel refused it."""
    if step.result >= 0:
        return step
    young = [flag for flag in variant.flags if FACTS[flag].since > Situation().kernel]
    if young:
        raise Missing(f"{text(young[0])} needs {version_text(FACTS[young[0]].since)}")
    if -step.result == errno.ENOSYS:
        raise Missing("the kernel, or a seccomp profile, refuses clone3")
    raise Missing(str(refused(-step.result, variant.flags, exit_signal=variant.exit_signal)))
