"""Runs jobs, some at a time, and prints what became of them."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from comparison import Comparison, compare
from environments import Environments
from job import Job


def run_all(environments: Environments, jobs: list[Job], *, at_a_time: int, json_file: Path | None) -> int:
    """The status to exit with: 1 if a test fails only swapped and is not expected to."""
    begin = time.monotonic()
    done: list[Comparison] = []
    with ThreadPoolExecutor(at_a_time) as executor:
        for future in as_completed([executor.submit(compare, environments, job) for job in jobs]):
            done.append(future.result())
            _print_job(done[-1])
    if json_file:
        json_file.write_text(json.dumps([dataclasses.asdict(comparison) for comparison in done], indent=1))
    return _print_end(done, time.monotonic() - begin)


def _print_job(comparison: Comparison) -> None:
    counts = {"passed": comparison.count("passed"), "skipped": comparison.count("skipped")}
    counts |= {
        "expected to differ": comparison.count("expected"),
        "failing unswapped, too": len(comparison.fail_in_both),
    }
    counts |= {"passed on a retry": len(comparison.flaky), "FAILING ONLY SWAPPED": len(comparison.only_swapped)}
    text = ", ".join(f"{count} {what}" for what, count in counts.items() if count)
    print(f"{comparison.name}: {text} ({comparison.seconds:.0f} s)", flush=True)
    for test in comparison.flaky:
        print(f"    passed on a retry: {test}: {comparison.swapped[test].kind}", flush=True)
    for test, outcome in comparison.only_swapped.items():
        print(f"    FAILING ONLY SWAPPED: {test}: {outcome.kind}", flush=True)


def _print_end(done: list[Comparison], seconds: float) -> int:
    different = {test: outcome for comparison in done for test, outcome in comparison.only_swapped.items()}
    for test, outcome in different.items():
        print(f"\n== {test}: {outcome.kind}\n{outcome.text}")
    passed = sum(comparison.count("passed") for comparison in done)
    skipped = sum(comparison.count("skipped") for comparison in done)
    print(f"\n{len(done)} jobs on Python {sys.version.split()[0]} in {seconds:.0f} s")
    print(f"{passed} passed, {len(different)} failed, {skipped} skipped")
    return 1 if different else 0
