"""`kthreads compare`: a program on libc's threads and on the engine's, side by side."""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.progress import Progress
from rich.table import Table

from kthreads.bench.analysis.ratios import Interval, paired_ratio
from kthreads.bench.output.units import time_of
from kthreads.cli.console import Console
from kthreads.cli.message import complain
from kthreads.cli.parser import Parser
from kthreads.programs import program_file
from kthreads.programs.measured_run import MeasuredRun, measure
from kthreads.programs.preload import Threads
from kthreads.programs.program_file import ProgramError

NAME = "kthreads compare"
LIBC = "libc"
WAYS = {LIBC: None, "clone": Threads("clone"), "clone, reuse": Threads("clone", reuse=True)}
"""How the threads of a run are made; None for the program as it is."""

NEAR = 1.1
"""Peaks up to so many times the least that can be measured are not told from it."""

_FAILURE = 125
Runs = Mapping[str, Sequence[MeasuredRun]]


class Measure(NamedTuple):
    """What is compared of runs."""

    name: str
    field: str
    floor: float
    """What cannot be told from zero counts as this much."""
    text: Callable[[float], str]


MEASURES = (
    Measure("wall time", "wall_s", 1e-9, lambda value: time_of(value * 1e9)),
    Measure("CPU time", "cpu_s", 1e-6, lambda value: time_of(value * 1e9)),
    Measure("context switches", "switches", 1, lambda value: f"{value:,.0f}"),
    Measure("page faults", "faults", 1, lambda value: f"{value:,.0f}"),
    Measure("peak memory", "peak_bytes", 1, lambda value: f"{value / (1 << 20):.1f} MiB"),
)


def ratio_of(runs: Runs, way: str, measure: Measure) -> Interval:
    """The ratio of a way to libc's threads, over pairs of the same round, with its interval."""
    ours, theirs = (
        {0: {number: float(getattr(run, measure.field)) for number, run in enumerate(runs[each])}}
        for each in (way, LIBC)
    )
    found = paired_ratio(ours, theirs, floor=measure.floor)
    assert found is not None, "every round has a run of each way"
    return found


def differences(runs: Runs) -> Iterator[str]:
    """Sentences about the ends and outputs that differ from those of libc's threads; none where they differ among
    themselves."""
    for what, field in (("exit status", "status"), ("output", "output"), ("standard error", "errors")):
        plain = {getattr(run, field) for run in runs[LIBC]}
        if len(plain) > 1:
            continue
        for way in runs:
            if {getattr(run, field) for run in runs[way]} != plain:
                shown = sorted({run.status for run in runs[way]}) if field == "status" else ""
                yield f"the {what} differs with {way} from libc's threads {shown}".rstrip()


def unsteady(runs: Runs) -> Iterator[str]:
    """Sentences about what differs from run to run on libc's threads alone, and so cannot be compared."""
    for what, field in (("exit status", "status"), ("output", "output"), ("standard error", "errors")):
        if len({getattr(run, field) for run in runs[LIBC]}) > 1:
            yield f"the {what} differs from run to run on libc's threads, too: it cannot be compared"


def _medians(runs: Runs, measure: Measure) -> dict[str, float]:
    return {way: statistics.median(getattr(run, measure.field) for run in runs[way]) for way in runs}


def table_of(runs: Runs, least_peak: float) -> Table:
    """The medians of each measure, and their ratios to libc's threads.

    Args:
        runs: two or more of each way.
        least_peak: the peak of memory in bytes below which none is measured (`MeasuredRun.peak_bytes`).
    """
    table = Table(title_justify="left", title_style="bold")
    table.add_column("measure", no_wrap=True)
    table.add_column("threads", no_wrap=True)
    for column in ("median", "of libc's"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for each in MEASURES:
        medians = _medians(runs, each)
        if each.field == "peak_bytes" and max(medians.values()) < NEAR * least_peak:
            table.add_row(each.name, "all", f"below {each.text(NEAR * least_peak)}", "", "")
            continue
        for way, median in medians.items():
            ratio = None if way == LIBC else ratio_of(runs, way, each)
            table.add_row(each.name if way == LIBC else "", way, each.text(median), *_shown(ratio))
    return table


def _shown(ratio: Interval | None) -> tuple[str, str]:
    if ratio is None:
        return "", ""
    return str(ratio), "same" if ratio.spans_one else "less" if ratio.value < 1 else "more"


def _measure(path: str, options: argparse.Namespace, console: Console) -> Runs:
    """Runs of all ways in each round, in a random order. The first round warms caches, and does not count."""
    environments = {
        way: dict(os.environ) if threads is None else threads.environment(os.environ) for way, threads in WAYS.items()
    }
    runs: dict[str, list[MeasuredRun]] = {way: [] for way in WAYS}
    order = list(WAYS)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        for number in progress.track(range(options.number + 1), description=options.program[0]):
            random.shuffle(order)
            for way in order:
                run = measure(path, options.program, environments[way], options.input)
                if number > 0:
                    runs[way].append(run)
    return runs


def _least_peak() -> float:
    """The peak of a program that needs next to nothing; 0 where there is none."""
    path = shutil.which("true")
    return 0 if path is None else measure(path, ["true"], os.environ).peak_bytes


def _json(options: argparse.Namespace, runs: Runs) -> dict[str, Any]:
    return {
        "format": "kthreads compare",
        "version": 1,
        "program": options.program,
        "runs": {way: [run._asdict() for run in found] for way, found in runs.items()},
        "ratios": {
            way: {each.field: vars(ratio_of(runs, way, each)) for each in MEASURES} for way in runs if way != LIBC
        },
    }


def _print(options: argparse.Namespace, runs: Runs, different: list[str]) -> None:
    console = Console()
    if not different:
        steady = not list(unsteady(runs))
        console.print(
            f"{options.number} runs each: exit status {runs[LIBC][0].status}"
            + (", and the same output" if steady else ""),
            highlight=False,
            markup=False,
        )
    for sentence in [*different, *unsteady(runs)]:
        console.print(sentence, style="yellow", highlight=False, markup=False)
    console.print(table_of(runs, _least_peak()))


def _run(options: argparse.Namespace) -> int:
    try:
        path = program_file.find(options.program[0])
        program_file.check(path)
        runs = _measure(path, options, Console(stderr=True))
        if options.json is not None:
            options.json.write_text(json.dumps(_json(options, runs)), encoding="utf-8")
    except ProgramError as error:
        complain(NAME, error)
        return error.status
    except OSError as error:
        complain(NAME, f"{error.filename}: {error.strerror}")
        return _FAILURE
    different = list(differences(runs))
    _print(options, runs, different)
    return int(bool(different))


def _count(text: str) -> int:
    number = int(text)
    if number < 2:
        raise argparse.ArgumentTypeError("an interval needs 2 runs or more")
    return number


def add_arguments(parser: Parser) -> None:
    """Adds the description and the options of `compare`."""
    parser.description = (
        "Runs a program many times, in turn on libc's threads, on threads made by clone, and on those reused, and says "
        "what differs: the exit status and the output first, then time, context switches, page faults and memory, as "
        "ratios of runs of the same round with 95 % intervals."
    )
    parser.epilog = "Exit status: 0 when the ends and outputs are the same, 1 when they differ; 127, 126 and 125 as `kthreads exec`."
    parser.run_program(short_values=False, failure=_FAILURE, required=True)
    parser.add_argument("-n", "--number", type=_count, default=10, metavar="N", help="runs of each kind (default: 10)")
    parser.add_argument(
        "--input", default=os.devnull, metavar="FILE", help="the standard input of each run (default: none)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all runs and the ratios")
    parser.set_defaults(run=_run)
