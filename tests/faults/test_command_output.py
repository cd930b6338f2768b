"""The commands with standard descriptors that are closed, full or broken."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys

import pytest
from process_runs import isolated, needs_root
from programs import skip_where_import_builds

pytestmark = pytest.mark.any_python

COMBINATIONS = [closed for count in range(4) for closed in itertools.combinations(range(3), count)]


def run(*words, redirections="", **options):
    """Runs the command line, with redirections as a shell writes them."""
    skip_where_import_builds(redirections)
    script = f'exec "$@" {redirections}'
    command = ["sh", "-c", script, "sh", sys.executable, "-m", "kthreads", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)


def name_of(words) -> str:
    return "kthreads" if words[0].startswith("-") else f"kthreads {words[0]}"


def closing(closed) -> str:
    return " ".join(f"{fd}>&-" for fd in closed)


PRINTING = [["doctor"], ["explain", "vm"], ["--version"], ["ps", str(os.getpid())], ["--help"], ["explain", "--help"]]


@pytest.mark.parametrize("closed", COMBINATIONS, ids=str)
@pytest.mark.parametrize("words", PRINTING[:3], ids=" ".join)
def test_what_prints_tells_that_it_cannot(words, closed):
    expected = run(*words)
    done = run(*words, redirections=closing(closed))
    if 1 not in closed:
        assert (done.returncode, bool(done.stdout)) == (expected.returncode, True)
        assert done.stderr == ""
    else:
        assert done.returncode == 1
        assert done.stderr == ("" if 2 in closed else f"{name_of(words)}: write error: Bad file descriptor\n")


@pytest.mark.parametrize("words", [*PRINTING, ["lab", "files"], ["demo", __file__], ["bench", "--help"]], ids=" ".join)
def test_what_prints_tells_that_the_device_is_full(words):
    done = run(*words, redirections=">/dev/full")
    assert (done.returncode, done.stderr) == (1, f"{name_of(words)}: write error: No space left on device\n")


@pytest.mark.parametrize("words", [*PRINTING, ["lab", "files"], ["demo", __file__]], ids=" ".join)
def test_a_reader_that_has_gone_is_no_error_to_tell(words):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "kthreads", *words]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, timeout=60, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.parametrize("redirections", ["2>&-", "2>/dev/full", "2>&- >&-", "2>/dev/full >/dev/full"])
@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["frobnicate"], 2),
        (["explain", "nonsense"], 2),
        (["ps", "0"], 1),
        (["unshare", "--frobnicate"], 1),
        (["unshare", "--", "/nowhere"], 127),
        (["unshare", "--monotonic", "1", "true"], 1),
        (["nsenter", "-a", "true"], 1),
        (["lab", "nonsense"], 2),
        pytest.param(["run", "--", "/nowhere"], 127, marks=isolated),
    ],
    ids=str,
)
def test_a_message_that_cannot_be_written_changes_no_status_and_goes_nowhere_else(words, status, redirections):
    done = run(*words, redirections=redirections)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", "")


PROGRAMS = {
    "unshare": ["unshare"],
    "unshare --fork": ["unshare", "--fork"],
    "nsenter that forks": ["nsenter", "-t", str(os.getpid()), "-p"],
    "unshare with namespaces": ["unshare", "-mpf", "--mount-proc"],
    "run": ["run"],
    "run without an init": ["run", "--no-init"],
}
FOR_ROOT = [pytest.param(name, marks=needs_root) for name in list(PROGRAMS)[2:]]

# Says by its status which standard descriptors are open in a program.
LOOK = "status=0; for fd in 0 1 2; do [ -e /proc/$$/fd/$fd ] && status=$((status + (1 << fd))); done; exit $status"


@pytest.mark.parametrize("closed", COMBINATIONS, ids=str)
@pytest.mark.parametrize("name", ["unshare", *FOR_ROOT[1:3]])
def test_a_program_finds_closed_what_was_closed(name, closed):
    done = run(*PROGRAMS[name], "--", "sh", "-c", LOOK, redirections=closing(closed))
    assert (done.returncode, done.stdout, done.stderr) == (sum(1 << fd for fd in range(3) if fd not in closed), "", "")


@pytest.mark.parametrize("redirections", [">/dev/full", "2>/dev/full", ">&- 2>&- <&-"])
@pytest.mark.parametrize("name", ["unshare", "unshare --fork", *FOR_ROOT])
def test_a_program_runs_whatever_its_output_is(name, redirections):
    assert run(*PROGRAMS[name], "--", "true", redirections=redirections).returncode == 0
    assert run(*PROGRAMS[name], "--", "sh", "-c", "exit 7", redirections=redirections).returncode == 7


@needs_root
def test_the_signal_that_ended_a_program_is_told_without_standard_descriptors():
    done = run("unshare", "-f", "--", "sh", "-c", "kill -KILL $$", redirections=closing((0, 1, 2)))
    assert done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL)


def test_in_a_process_of_somebody_else_its_descriptors_are_left_alone():
    script = """if True:
        import os, sys
        from kthreads.cli import main
        full = open("/dev/full", "w")
        before, sys.stdout = sys.stdout, full
        status = main.main(["explain", "vm"])
        assert sys.stdout is full
        sys.stdout = before
        print(status)
        os._exit(0 if sys.stdout.flush() is None else 1)
    """
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1\n", "kthreads explain: write error: No space left on device\n")
