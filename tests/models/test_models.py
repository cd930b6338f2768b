"""spin checks the models of tests/models, of the protocols of pools and parked threads, exhaustively.

The comment at the head of each model describes it and lists its mutants. Each mutant has one error that the C code must
not have. spin must find no error in the model, and an error in each mutant.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

MODELS = Path(__file__).parent
MUTANT = re.compile(r"^ \* (MUTANT_\w+):", re.MULTILINE)

pytestmark = [
    pytest.mark.any_python,
    pytest.mark.skipif(shutil.which("spin") is None, reason="spin, which checks the models, is not installed"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="spin's checkers are C, and there is no compiler"),
]

# The memory in MB and the depth of a search. A search that needs more reports that, and fails the test.
LIMITS = ["-DMEMLIM=512", "-DCOLLAPSE"]
DEPTH = "-m100000"


def model_names() -> list[str]:
    return sorted(path.stem for path in MODELS.glob("*.pml"))


def mutants() -> list[tuple[str, str]]:
    return [(name, found) for name in model_names() for found in MUTANT.findall((MODELS / f"{name}.pml").read_text())]


def run(command: list[str], where: Path) -> str:
    done = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def generate(name: str, where: Path, *definitions: str) -> None:
    run(["spin", *definitions, "-a", str(MODELS / f"{name}.pml")], where)


def search(name: str, where: Path, *definitions: str) -> str:
    """The report of spin's checker, which searches all states up to the first error."""
    generate(name, where, *definitions)
    optimize = "-O0" if definitions else "-O1"  # the search of a mutant takes less time than an optimised build
    run(["cc", optimize, "-w", "-DSAFETY", "-DNOCLAIM", *LIMITS, "-o", "checker", "pan.c"], where)
    return run(["./checker", DEPTH], where)


def assert_nothing_found(report: str) -> None:
    assert "errors: 0" in report, report
    assert "Search not completed" not in report, report
    assert "max search depth too small" not in report, report


@pytest.mark.parametrize("name", model_names())
def test_a_model_holds_in_all_that_can_happen(name, tmp_path):
    assert_nothing_found(search(name, tmp_path))


@pytest.mark.parametrize("name", [name for name in model_names() if "\nltl " in (MODELS / f"{name}.pml").read_text()])
def test_a_model_makes_progress_where_each_thread_may_go_on_at_times(name, tmp_path):
    generate(name, tmp_path)
    run(["cc", "-O1", "-w", "-DNFAIR=3", *LIMITS, "-o", "checker", "pan.c"], tmp_path)
    assert_nothing_found(run(["./checker", "-a", "-f", DEPTH], tmp_path))


@pytest.mark.parametrize(("name", "mutant"), mutants())
def test_a_mutant_is_found(name, mutant, tmp_path):
    report = search(name, tmp_path, f"-D{mutant}")
    assert "errors: 1" in report, report
    assert re.search(r"assertion violated|invalid end state", report), report


@pytest.mark.parametrize("name", model_names())
def test_a_model_lists_the_mutants_that_it_has(name):
    text = (MODELS / f"{name}.pml").read_text()
    used = set(re.findall(r"MUTANT_\w+", re.sub(MUTANT, "", text)))
    assert used == set(MUTANT.findall(text))
