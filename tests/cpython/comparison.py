"""Which tests fail with kthreads' classes swapped in, and only then."""

from __future__ import annotations

import dataclasses
import sys
import time
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import module_run
from environments import Environments
from job import Job
from module_run import Outcome

EXPECTED = Path(__file__).parent / "expected.toml"
RETRIES = 2


@dataclass(frozen=True)
class Difference:
    """An entry of expected.toml: tests that are known to fail only swapped, and why."""

    title: str
    why: str
    tests: tuple[str, ...]
    pythons: tuple[str, ...] = ()

    def is_of_this_python(self) -> bool:
        return not self.pythons or f"{sys.version_info[0]}.{sys.version_info[1]}" in self.pythons


def expected() -> tuple[str, ...]:
    """The patterns of all tests that are expected to differ on this Python."""
    return tuple(test for entry in _entries() if entry.is_of_this_python() for test in entry.tests)


def _entries() -> list[Difference]:
    with EXPECTED.open("rb") as file:
        entries = tomllib.load(file).get("difference", [])
    return [Difference(**{k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}) for entry in entries]


@dataclass
class Comparison:
    """What became of a job.

    Attributes:
        swapped: the outcomes of the first run, which is swapped.
        flaky: tests that failed in it and passed when they were run again alone.
        fail_in_both: tests that fail with the standard classes, too.
        only_swapped: tests that fail only swapped.
    """

    name: str
    swapped: dict[str, Outcome]
    flaky: list[str] = field(default_factory=list)
    fail_in_both: list[str] = field(default_factory=list)
    only_swapped: dict[str, Outcome] = field(default_factory=dict)
    seconds: float = 0.0

    def count(self, kind: str) -> int:
        return sum(outcome.kind == kind for outcome in self.swapped.values())


def compare(environments: Environments, job: Job) -> Comparison:
    """Runs a job swapped. A test that fails is run again alone, as the machine may be slow at times; and if it fails again,
    with the standard classes, alone as well."""
    begin = time.monotonic()
    comparison = Comparison(job.name, module_run.run(environments.swapped, job))
    failed = {test: outcome for test, outcome in comparison.swapped.items() if outcome.is_bad}
    for _ in range(RETRIES):
        failed, passed = _again(environments.swapped, job, failed)
        comparison.flaky += passed
    failed_plain, passed = _again(environments.plain, job, failed)
    comparison.fail_in_both = list(failed_plain)
    comparison.only_swapped = {test: failed[test] for test in passed}
    comparison.seconds = time.monotonic() - begin
    return comparison


def _again(python: Path, job: Job, failed: dict[str, Outcome]) -> tuple[dict[str, Outcome], list[str]]:
    """Runs tests that failed once more: the outcomes of those that fail again, and the others."""
    if not failed:
        return {}, []
    # What is said of a module as a whole, such as "(exit)", is seen only when all of it runs.
    is_whole = any(test.startswith(f"{job.name}.(") for test in failed)
    outcomes = module_run.run(python, job if is_whole else dataclasses.replace(job, only=tuple(failed)))
    still = {test: outcomes[test] for test in failed if test in outcomes and outcomes[test].is_bad}
    return still, [test for test in failed if test not in still]
