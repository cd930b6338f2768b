"""`kthreads bench`: the command."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from kthreads.bench.analysis import compare
from kthreads.bench.analysis.summary import RunSummary
from kthreads.bench.measure.environment import sentence
from kthreads.bench.measure.plan import Plan
from kthreads.bench.measure.runner import Runner
from kthreads.bench.model.json_file import FormatError
from kthreads.bench.model.run import Run
from kthreads.bench.model.suites import SUITES, SYSCALLS, all_peers
from kthreads.bench.output import report, tables
from kthreads.cli.console import Console
from kthreads.cli.message import complain
from kthreads.cli.parser import Parser

INTERRUPTED = 130


class UsageError(Exception):
    """The command line is invalid; the text says why."""


def _known(what: str, names: list[str], known: list[str]) -> list[str]:
    """The names, each once; raises UsageError for one that is not known."""
    for name in names:
        if name not in known:
            raise UsageError(f"there is no {what} {name!r}; there are {', '.join(known)}")
    return list(dict.fromkeys(names))


def check_writable(path: Path | None) -> None:
    """Raises UsageError for a file that cannot be written, before anything is measured. Leaves the file as it is."""
    if path is None:
        return
    there = path.exists()
    try:
        path.open("ab").close()
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}") from None
    if not there:
        path.unlink()


def _load(path: Path | None) -> RunSummary | None:
    try:
        return None if path is None else RunSummary.of(Run.load(path))
    except FormatError as error:
        raise UsageError(str(error)) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from None


def _plan(options: argparse.Namespace) -> tuple[Plan, RunSummary | None]:
    """What to measure, and the run to compare with."""
    every = [*SUITES, SYSCALLS]
    # A quick run has no time for whole jobs, unless they are asked for.
    unasked = [name for name in every if not (options.quick and name == "jobs")]
    suites = _known("suite", options.suites or unasked, every)
    peers = None
    if options.peers is not None:
        peers = _known("peer", [name.strip() for name in options.peers.split(",")], list(all_peers()))
    for path in (options.json, options.html):
        check_writable(path)
    return Plan(suites, peers, options.quick), _load(options.compare)


def _measure(plan: Plan, console: Console) -> tuple[Runner, bool]:
    """Measures a plan; returns the runner, and whether Ctrl-C ended it."""
    columns = (TextColumn("{task.description:<32}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task("beginning", total=1.0)
        runner = Runner(plan, lambda part, what: progress.update(task, completed=part, description=what))
        try:
            runner.measure()
        except KeyboardInterrupt:
            runner.run.notes.append("interrupted: the results are incomplete")
            return runner, True
    return runner, False


def _save(options: argparse.Namespace, run: Run, summary: RunSummary, old: RunSummary | None) -> None:
    if options.json:
        run.save(options.json)
    if options.html:
        options.html.write_text(report.page(summary, old), encoding="utf-8")


def _print(run: RunSummary, old: RunSummary | None, console: Console) -> None:
    console.print(sentence(run.environment), highlight=False)
    for table in tables.of_run(run):
        console.print(table)
    if old is not None:
        for difference in compare.differences(run, old):
            console.print(
                f"the old run was measured under other conditions: {difference}", style="yellow", markup=False
            )
        console.print(tables.of_changes(list(compare.changes(run, old))))


def _run(options: argparse.Namespace) -> int:
    errors = Console(stderr=True)
    try:
        plan, old = _plan(options)
    except UsageError as error:
        complain("kthreads bench", error)
        return 2
    runner, interrupted = _measure(plan, errors)
    summary = RunSummary.of(runner.run)
    try:
        _save(options, runner.run, summary, old)
    except OSError as error:
        complain("kthreads bench", f"{error.filename} cannot be written: {error.strerror}")
        return 2
    console = Console()
    _print(summary, old, console if console.is_terminal else Console(width=160))
    return INTERRUPTED if interrupted else int(runner.failed)


def add_arguments(parser: Parser) -> None:
    """Adds the description and the options of `bench`."""
    parser.description = (
        "Measures threads, regions, tasks and whole jobs and compares them with their peers. Suites: "
        + ", ".join([*SUITES, SYSCALLS])
        + "."
    )
    parser.add_argument("suites", nargs="*", metavar="SUITE", help="what to measure (default: all)")
    parser.add_argument("--peers", metavar="PEER,…", help="only these peers: " + ", ".join(all_peers()))
    parser.add_argument("--json", type=Path, metavar="FILE", help="save every sample (compressed when it ends in .gz)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a report with plots")
    parser.add_argument("--quick", action="store_true", help="take at most 20 s; less precise, and without jobs")
    parser.add_argument(
        "--compare", type=Path, metavar="OLD.json", help="show what got faster or slower since OLD.json"
    )
    parser.set_defaults(run=_run)
