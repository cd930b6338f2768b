"""What coverage measures of Python that runs on threads of kthreads."""

from __future__ import annotations

import functools
import importlib.util
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

coverage = pytest.importorskip("coverage", reason="coverage is not installed")

PROGRAM = Path(__file__).with_name("threads_to_measure.py")

CORES = ["ctrace" if importlib.util.find_spec("coverage.tracer") else "pytrace"]
"""What coverage sees lines by: functions of sys.settrace, in C or else in Python; and sys.monitoring."""
if hasattr(sys, "monitoring"):
    CORES.append("sysmon")

KINDS = ["thread", "subclass", "executor", "initializer", "pool", "loop", "callback"]

cores = pytest.mark.parametrize("core", CORES)


@functools.cache
def measured(core, *kinds):
    """The lines of the program that coverage has seen."""
    with tempfile.TemporaryDirectory() as folder:
        data = coverage.CoverageData(basename=f"{folder}/data")
        options = ["--data-file", data.data_filename(), "--include", PROGRAM]
        subprocess.run(
            [sys.executable, "-m", "coverage", "run", *options, PROGRAM, *kinds],
            cwd=folder,
            env=os.environ | {"COVERAGE_CORE": core},
            check=True,
        )
        data.read()
        try:
            return frozenset(data.lines(str(PROGRAM)))
        finally:
            data.close()


def lines_on(kind):
    """The lines of the program that only this kind of thread runs."""
    lines = PROGRAM.read_text().splitlines()
    return {number for number, line in enumerate(lines, 1) if line.endswith(f"# on: {kind}")}


@cores
@pytest.mark.parametrize("kind", KINDS)
def test_lines_that_only_a_thread_runs_are_measured(core, kind):
    assert len(lines_on(kind)) == 1
    assert lines_on(kind) <= measured(core, *KINDS)


@cores
def test_lines_that_only_a_call_of_joblib_runs_are_measured(core):
    pytest.importorskip("joblib", reason="joblib is not installed: pip install 'kthreads[joblib]'")
    assert lines_on("joblib") <= measured(core, "joblib")


@cores
def test_lines_that_no_thread_runs_are_not_measured(core):
    assert lines_on("none")
    assert not lines_on("none") & measured(core, *KINDS)
