"""`kthreads lab`: experiments with the flags of clone."""

from __future__ import annotations

import argparse
import sys

from rich.table import Table

from kthreads.cli.console import Console
from kthreads.cli.parser import Parser
from kthreads.flags.clone_flags import CloneFlags
from kthreads.flags.text import text
from kthreads.lab import EXPERIMENTS, Outcome

__all__ = ["add_arguments"]

TITLES = {"EXIT_SIGNAL": "the exit signal", "TWO_LIBRARIES": "the same program, two thread libraries"}
"""Of experiments that are not about one flag."""


def _name(word: str) -> str:
    return word.upper().removeprefix("CLONE_").replace("-", "_").replace(" ", "_")


def _all_names() -> list[str]:
    """In the order of the flags' bits, and the exit signal at the end."""
    return sorted(EXPERIMENTS, key=lambda name: CloneFlags.__members__.get(name, 1 << 64))


def _print(console: Console, outcome: Outcome) -> None:
    title = TITLES.get(outcome.name, f"CLONE_{outcome.name}")
    console.print(f"[bold]{title}[/bold]  {outcome.question}", highlight=False)
    for variant in outcome.variants:
        console.print(f"  {variant.heading}: clone3({text(variant.flags, variant.exit_signal)})", highlight=False)
    if outcome.missing:
        console.print(f"[yellow]not available here: {outcome.missing}[/yellow]", highlight=False)
    else:
        table = Table("", *(variant.heading for variant in outcome.variants), pad_edge=False)
        for row in outcome.rows:
            table.add_row(row.what, *row.seen)
        console.print(table, highlight=False)
    console.print(outcome.reason, highlight=False)
    console.print()


def _run(options: argparse.Namespace) -> int:
    names = [_name(word) for word in options.flags] or _all_names()
    unknown = [name for name in names if name not in EXPERIMENTS]
    if unknown:
        print(
            f"kthreads lab: no experiment for {', '.join(unknown)}; there are {', '.join(_all_names())}",
            file=sys.stderr,
        )
        return 2
    console = Console()
    outcomes = [EXPERIMENTS[name]() for name in names]
    for outcome in outcomes:
        _print(console, outcome)
    return 1 if all(outcome.missing for outcome in outcomes) else 0


def add_arguments(parser: Parser) -> None:
    """Adds the description and the options of `lab`."""
    parser.description = (
        "Each experiment creates the same child with and without a flag and prints what it observed. "
        "Exit status: 1 if this system allows none of the experiments, 2 for an unknown name."
    )
    parser.add_argument("flags", nargs="*", metavar="FLAG", help=f"a flag (default: all): {', '.join(_all_names())}")
    parser.set_defaults(run=_run)
