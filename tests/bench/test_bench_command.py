"""`kthreads bench`, as a user sees it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from bench_runs import block, full_run

from kthreads.bench.measure import plan, runner
from kthreads.bench.model.run import Run
from kthreads.cli import bench as command
from kthreads.cli import main


@pytest.fixture
def measured(monkeypatch):
    """Runs that measure nothing: each process writes one block."""

    def process(self, job, done, share):
        self.take({"block": vars(block(job.suites[0], process=job.process, pinned=job.pinned))})

    monkeypatch.setattr(runner.Runner, "run_process", process)
    monkeypatch.setattr(runner.Runner, "count_syscalls", lambda self: None)
    monkeypatch.setattr(runner.Runner, "make_shims", lambda self: [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "there is no suite 'frobnicate'; there are create, create-join"),
        (["create", "--peers", "clone,windows"], "there is no peer 'windows'; there are clone"),
        (["--json", "/nowhere/run.json"], "/nowhere/run.json cannot be written"),
        (["--html", "/"], "/ cannot be written"),
        (["--compare", "/nowhere/old.json"], "/nowhere/old.json cannot be read"),
    ],
)
def test_bad_usage_is_told_before_anything_is_measured(arguments, message, capsys, monkeypatch):
    monkeypatch.setattr(runner.Runner, "measure", lambda self: pytest.fail("it measured"))
    assert main.main(["bench", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_an_old_run_of_another_format_is_bad_usage(tmp_path, capsys):
    (tmp_path / "old.json").write_text('{"format": "kthreads bench", "version": 0}')
    assert main.main(["bench", "create", "--compare", str(tmp_path / "old.json")]) == 2
    assert "is of format 0, this is kthreads bench for format 1" in capsys.readouterr().err


def test_checking_an_output_leaves_what_is_there(tmp_path):
    (tmp_path / "there").write_text("kept")
    for name in ("there", "new"):
        command.check_writable(tmp_path / name)
    assert (tmp_path / "there").read_text() == "kept"
    assert not (tmp_path / "new").exists()


def test_a_run_is_printed_and_saved(measured, tmp_path, capsys):
    outputs = ["--json", str(tmp_path / "run.json"), "--html", str(tmp_path / "run.html")]
    assert main.main(["bench", "create-join", *outputs]) == 0
    assert "Create and join an empty function" in capsys.readouterr().out
    saved = Run.load(tmp_path / "run.json")
    assert {(each.process, each.pinned) for each in saved.blocks} == {
        (process, pinned) for process in range(plan.PROCESSES) for pinned in (False, True)
    }
    assert "<svg" in (tmp_path / "run.html").read_text()


def test_a_quick_run_puts_all_suites_into_few_processes():
    jobs = list(plan.Plan(["create", "join"], quick=True).jobs([]))
    assert [job.suites for job in jobs] == [["create", "join"]] * 2 * plan.QUICK_PROCESSES


def test_a_quick_run_shares_out_its_time_and_no_more():
    jobs = list(plan.Plan(["create"], quick=True).jobs([]))
    left = runner.QUICK_SECONDS
    for number in range(len(jobs)):
        share = runner.share_of_time(jobs[number:], left)
        left -= share
    assert left == pytest.approx(0)


def test_a_failed_proof_is_an_exit_status_of_one(measured, monkeypatch, capsys):
    monkeypatch.setattr(
        runner.Runner, "run_process", lambda self, *_: self.take({"failed": "create: clone: it did nothing"})
    )
    assert main.main(["bench", "create"]) == 1
    assert "it did nothing" in capsys.readouterr().out


def test_compare_says_what_got_worse(measured, tmp_path, capsys):
    old = full_run()
    old.environment["cpu"] = "another"
    old.blocks = [block("create-join", samples=[5_000], process=number) for number in range(4)]
    old.save(tmp_path / "old.json")
    assert main.main(["bench", "create-join", "--compare", str(tmp_path / "old.json")]) == 0
    output = capsys.readouterr().out
    assert "worse" in output
    assert "cpu: another before" in output


INTERRUPTIBLE = """
import sys
from kthreads.bench.measure import plan, runner
from kthreads.cli.main import main
take = runner.Runner.take
def tell(self, line):
    take(self, line)
    if "block" in line:
        print("taken", flush=True)
runner.Runner.take = tell
sys.exit(main(sys.argv[1:]))
"""


def children_of(parent):
    """The processes whose parent it is (proc(5), /proc/PID/stat)."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if path.read_text().rpartition(")")[2].split()[1] == str(parent):
                found.append(int(path.parent.name))
    return found


def test_ctrl_c_keeps_and_writes_what_was_measured(tmp_path):
    path = tmp_path / "run.json"
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "bench", "create-join", "--peers", "clone,pthread", "--json", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout.readline() == "taken\n"
        workers = children_of(process.pid)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "interrupted" in output
    run = Run.load(path)
    assert run.blocks
    assert any("interrupted" in note for note in run.notes)
    assert workers
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def test_a_process_that_dies_is_told(monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert main.main(["bench", "create", "--peers", "clone"]) == 1
    assert "the process that measured ended with 1" in capsys.readouterr().out
