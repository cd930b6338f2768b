"""Measures what a program's threads cost under `kthreads exec`, and writes docs/_exec.md: `python benchmarks/exec.py [-n N]`.

The runs of a round follow each other in a random order; ratios are of runs of the same round. stress-ng is measured where it
is installed.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

from markdown_table import table

import kthreads
from kthreads.bench.measure.environment import now, sentence
from kthreads.bench.output.units import time_of
from kthreads.cli.compare import LIBC, MEASURES, WAYS, Runs, ratio_of
from kthreads.programs.measured_run import MeasuredRun, measure

PAGE = Path(__file__).parents[1] / "docs" / "_exec.md"
SOURCE = Path(__file__).parent / "c" / "made_and_joined.c"
WALL, CPU = MEASURES[0], MEASURES[1]


def programs(folder: str, threads: int) -> dict[str, list[str]]:
    """What is measured, by its description."""
    made = os.path.join(folder, "made_and_joined")
    subprocess.run(["cc", "-O2", "-pthread", SOURCE, "-o", made], check=True)
    found = {
        f"{threads:,} threads, made and joined one after the other": [made, str(threads)],
        "2 threads that compute": [made, "2", "100000000"],
    }
    if stress := shutil.which("stress-ng"):
        words = [stress, "--pthread", "1", "--pthread-max", "16", "--pthread-ops", "20000", "--quiet"]
        found["`stress-ng --pthread 1 --pthread-max 16 --pthread-ops 20000`"] = words
    return found


def runs_of(words: list[str], rounds: int) -> Runs:
    """Runs of each way; the first round does not count."""
    environments = {
        way: dict(os.environ) if threads is None else threads.environment(os.environ) for way, threads in WAYS.items()
    }
    runs: dict[str, list[MeasuredRun]] = {way: [] for way in WAYS}
    for number in range(rounds + 1):
        for way in random.sample(list(WAYS), len(WAYS)):
            run = measure(words[0], words, environments[way])
            if run.status != 0:
                raise SystemExit(f"{words} ended with {run.status}, {way}")
            if number:
                runs[way].append(run)
    return runs


def rows(name: str, runs: Runs) -> list[tuple[str, ...]]:
    found = []
    for way in runs:
        wall = statistics.median(run.wall_s for run in runs[way])
        ratios = ("", "") if way == LIBC else (str(ratio_of(runs, way, WALL)), str(ratio_of(runs, way, CPU)))
        found.append((name if way == LIBC else "", way, time_of(wall * 1e9), *ratios))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=100_000)
    options = parser.parse_args()
    header = ("program", "threads of", "wall time", "ratio to libc's", "ratio of CPU time")
    with tempfile.TemporaryDirectory() as folder:
        body = [
            row
            for name, words in programs(folder, options.threads).items()
            for row in rows(name, runs_of(words, options.rounds))
        ]
    lines = [
        f"{sentence(now())}, kthreads {kthreads.__version__}: medians of {options.rounds} runs of each, and ratios of runs of "
        "the same round with 95 % intervals.",
        "",
        *table(header, body),
    ]
    PAGE.write_text("\n".join(lines) + "\n")
    print(PAGE.read_text())


if __name__ == "__main__":
    main()
