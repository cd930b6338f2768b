"""`kthreads compare` says first whether a program ended and wrote the same, and then by how much its costs differ."""

from __future__ import annotations

import json
import re

import pytest

from kthreads.cli.compare import LIBC, MEASURES, differences, ratio_of, unsteady
from kthreads.programs.measured_run import MeasuredRun

pytestmark = pytest.mark.any_python

ONE = MeasuredRun(0, "output", "errors", 2.0, 1.0, 10, 0, 1 << 20)


def test_runs_that_are_the_same_have_no_difference():
    assert list(differences({LIBC: [ONE, ONE], "clone": [ONE, ONE]})) == []


def test_another_status_or_output_is_a_difference():
    other = ONE._replace(status=3, output="another")
    assert list(differences({LIBC: [ONE, ONE], "clone": [ONE, other]})) == [
        "the exit status differs with clone from libc's threads [0, 3]",
        "the output differs with clone from libc's threads",
    ]


def test_what_differs_on_libc_s_threads_too_is_not_compared():
    runs = {LIBC: [ONE, ONE._replace(output="another")], "clone": [ONE, ONE._replace(output="a third")]}
    assert list(differences(runs)) == []
    assert list(unsteady(runs)) == ["the output differs from run to run on libc's threads, too: it cannot be compared"]


def test_a_ratio_is_of_runs_of_the_same_round():
    rounds = [ONE._replace(wall_s=wall) for wall in (1.0, 5.0, 9.0)]
    twice = [run._replace(wall_s=run.wall_s * 2) for run in rounds]
    found = ratio_of({LIBC: rounds, "clone": twice}, "clone", MEASURES[0])
    assert (found.value, found.low, found.high) == (2, 2, 2)


def test_counts_of_zero_have_a_ratio():
    faults = next(measure for measure in MEASURES if measure.field == "faults")
    assert ratio_of({LIBC: [ONE], "clone": [ONE]}, "clone", faults).value == 1


def test_a_program_is_compared_in_every_way(kthreads_command, build, tmp_path):
    file = tmp_path / "runs.json"
    program = (build("counted.c"), "20", "0", "0", "0", "0")
    done = kthreads_command("compare", "-n", "3", "--json", str(file), "--", *program)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("3 runs each: exit status 0, and the same output\n")
    document = json.loads(file.read_text())
    assert {way: len(runs) for way, runs in document["runs"].items()} == {"libc": 3, "clone": 3, "clone, reuse": 3}
    for ratios in document["ratios"].values():
        for ratio in ratios.values():
            assert 0 < ratio["low"] <= ratio["value"] <= ratio["high"]
    assert re.search(r"wall time +│ libc +│ +[\d.]+ [mµ]?s", done.stdout)


def test_a_program_that_writes_something_else_is_told(kthreads_command):
    done = kthreads_command("compare", "-n", "2", "--", "sh", "-c", 'echo "$KTHREADS_EXEC_BACKEND"')
    assert done.returncode == 1
    assert "the output differs with clone from libc's threads\n" in done.stdout


def test_a_program_that_ends_otherwise_is_told(kthreads_command):
    done = kthreads_command("compare", "-n", "2", "--", "sh", "-c", 'exit "${KTHREADS_EXEC_REUSE:-0}"')
    assert done.returncode == 1
    assert "the exit status differs with clone, reuse from libc's threads [1]\n" in done.stdout


def test_each_run_has_the_input_that_is_given(kthreads_command, tmp_path):
    (tmp_path / "input").write_text("4711")
    words = ("-n", "2", "--input", str(tmp_path / "input"), "--", "sh", "-c", "read number; exit $((number - 4700))")
    done = kthreads_command("compare", *words)
    assert done.stdout.startswith("2 runs each: exit status 11, and the same output\n")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("no-such-program",), 127),
        (("/etc/passwd",), 126),
        (("-n", "1", "true"), 125),
        (("--input", "/no", "true"), 125),
    ],
)
def test_what_cannot_be_compared_has_the_status_of_exec(kthreads_command, words, status):
    done = kthreads_command("compare", *words)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.splitlines()[-1].startswith("kthreads compare: ")
