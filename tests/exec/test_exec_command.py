"""`kthreads exec` runs a program, ends as it ends, and says what its threads did."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys

import pytest

from kthreads.programs.preload import library

pytestmark = pytest.mark.any_python


@pytest.fixture
def told(kthreads_command, tmp_path):
    """A function that runs a program with some options, and returns the JSON of its threads."""

    def run(*words: str, options: tuple[str, ...] = ()) -> dict:
        file = tmp_path / "told.json"
        done = kthreads_command("exec", "--json", str(file), *options, "--", *words)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(file.read_text())

    return run


@pytest.fixture
def counted(build):
    """The words that run counted.c with some counts."""
    return lambda *counts: (build("counted.c"), *map(str, counts))


def test_threads_are_counted_by_what_became_of_them(told, counted):
    summary = told(*counted(3, 40, 2, 1, 2))["summary"]
    assert summary["threads"] == summary["recorded"] == 46
    assert (summary["joined"], summary["detached"], summary["refused"]) == (6, 40, 2)
    assert summary["handed"] == {}
    assert sum(summary["flags"].values()) == 46
    assert summary["processes"] == 1


def test_a_thread_s_times_follow_each_other(told, counted):
    for life in told(*counted(5, 0, 1, 1, 0))["lives"]:
        times = [life[name] for name in ("create_ns", "begin_ns", "end_ns", "joined_ns")]
        assert times == sorted(times)
        assert 0 < life["join_ns"] <= life["joined_ns"]


def test_kernel_threads_are_reused_when_asked_for(told, counted):
    assert told(*counted(50, 0, 0, 0, 0))["summary"]["reused"] == 0
    summary = told(*counted(50, 0, 0, 0, 0), options=("--reuse",))["summary"]
    assert summary["reused"] > 40
    assert summary["joined"] == 50


def test_with_backend_pthread_libc_makes_all_threads(told, counted):
    summary = told(*counted(3, 2, 0, 0, 0), options=("--backend", "pthread"))["summary"]
    assert summary["handed"] == {"the backend is pthread": 5}
    assert summary["flags"] == {}
    assert (summary["joined"], summary["detached"]) == (3, 2)


@pytest.mark.parametrize(
    ("source", "case", "reason"),
    [
        (
            "attributes",
            "a_detached_thread_runs_on_the_stack_of_its_creator",
            "detached, on a stack of the program's own",
        ),
        (
            "at_first",
            "the_smallest_stack_of_the_creator_that_libc_takes_is_enough",
            "a stack of the program's own without room for libc's data",
        ),
        (
            "at_first",
            "a_program_that_has_used_up_all_keys_makes_threads",
            "the engine could not check this libc: the keys of the program, or memory, were used up",
        ),
        ("attributes", "a_mask_of_more_than_1024_cpus_is_heeded", "an affinity with CPUs beyond 1024"),
    ],
)
def test_what_the_engine_cannot_do_is_left_to_libc_and_counted(source, case, reason, told, build):
    handed = told(build(f"{source}.c"), case)["summary"]["handed"]
    assert list(handed) == [reason]
    assert handed[reason] >= 1


def test_threads_that_are_alive_at_once_are_counted(told, build):
    assert told(build("surroundings.c"), "many_threads_are_alive_at_once")["summary"]["most_alive"] >= 300


def test_threads_of_a_forked_child_are_its_own(told, build):
    told_of = told(build("surroundings.c"), "a_child_has_the_threads_of_its_own_alone")
    assert told_of["summary"]["processes"] == 2
    assert told_of["summary"]["joined"] == 16
    assert len({life["image"] for life in told_of["lives"]}) == 2


def test_programs_that_the_program_executes_have_such_threads_unless_told_otherwise(told, counted):
    words = (*counted(1, 0, 0, 0, 0), *counted(2, 0, 0, 0, 0))
    assert told(*words)["summary"]["threads"] == 3
    assert told(*words, options=("--no-children",))["summary"]["threads"] == 1


def test_without_children_the_environment_is_as_it_was(kthreads_command, tmp_path):
    script = "import os; os.execvp('env', ['env'])"
    other = tmp_path / "other.so"
    other.symlink_to(library())
    variables = {**os.environ, "LD_PRELOAD": str(other)}
    done = kthreads_command("exec", "--no-children", sys.executable, "-c", script, env=variables)
    seen = [line for line in done.stdout.splitlines() if line.startswith(("LD_PRELOAD", "KTHREADS_EXEC"))]
    assert seen == [f"LD_PRELOAD={other}"]


def test_the_table_tells_the_same_on_the_standard_error(kthreads_command, counted):
    done = kthreads_command("exec", "--stats", "--", *counted(3, 4, 0, 0, 1))
    assert done.stdout == ""
    rows = dict(re.findall(r"^(.*?\S)  +(.*?) *$", done.stderr, re.MULTILINE))
    assert {name: rows[name] for name in ("threads made", "joined", "detached", "refused")} == {
        "threads made": "7",
        "joined": "3",
        "detached": "4",
        "refused": "1",
    }
    assert re.fullmatch(r"\d.* [nµm]?s, \d.* [nµm]?s", rows["create to first instruction, p50, p99"])
    assert "by clone: VM FS FILES SIGHAND THREAD" in " ".join(done.stderr.split())


def test_a_trace_has_every_thread_s_life(kthreads_command, counted, tmp_path):
    file = tmp_path / "trace.json"
    assert kthreads_command("exec", "--trace", str(file), "--", *counted(3, 2, 0, 0, 1)).returncode == 0
    events = json.loads(file.read_text())["traceEvents"]
    names = [event["name"] for event in events]
    assert {name: names.count(name) for name in set(names)} == {"create": 5, "run": 5, "join": 3}
    assert all(event["dur"] >= 0 and event["ph"] == "X" for event in events)


@pytest.mark.parametrize("options", [(), ("--stats",)], ids=["plain", "with statistics"])
def test_the_command_ends_as_the_program(kthreads_command, options):
    assert kthreads_command("exec", *options, "--", "sh", "-c", "exit 7").returncode == 7
    assert kthreads_command("exec", *options, "--", "sh", "-c", "kill -KILL $$").returncode in (-9, 137)
    assert kthreads_command("exec", *options, "--", "sh", "-c", "kill -TERM $$").returncode == -15


def test_a_signal_to_the_command_reaches_the_program():
    script = "trap 'exit 9' TERM; echo ready; while :; do sleep 0.01; done"
    command = [sys.executable, "-m", "kthreads", "exec", "--stats", "--", "sh", "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 9


@pytest.mark.parametrize("options", [(), ("--stats",)], ids=["plain", "with statistics"])
def test_a_script_without_a_first_line_is_read_by_a_shell(kthreads_command, tmp_path, options):
    script = tmp_path / "script"
    script.write_text("echo $1\n")
    script.chmod(0o755)
    done = kthreads_command("exec", *options, "--", str(script), "word")
    assert (done.returncode, done.stdout) == (0, "word\n")


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("no-such-program",), 127, "kthreads exec: there is no program no-such-program\n"),
        (("/etc/passwd",), 126, "kthreads exec: /etc/passwd is not executable\n"),
        (("--stats", "/etc"), 126, "kthreads exec: /etc is a directory\n"),
    ],
)
def test_a_program_that_cannot_be_run_is_told_in_a_sentence(kthreads_command, words, status, sentence):
    done = kthreads_command("exec", *words)
    assert (done.returncode, done.stdout, done.stderr) == (status, "", sentence)


def test_bad_usage_has_a_status_of_its_own(kthreads_command):
    assert kthreads_command("exec").returncode == 125
    assert kthreads_command("exec", "--backend", "fork", "true").returncode == 125


def test_a_file_that_cannot_be_written_is_told(kthreads_command):
    done = kthreads_command("exec", "--json", "/no/such/file", "true")
    assert (done.returncode, done.stderr) == (
        1,
        "kthreads exec: /no/such/file cannot be written: No such file or directory\n",
    )
