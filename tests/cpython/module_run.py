"""Runs a job in a process of its own, and survives tests that hang or crash it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from job import Job

BAD = ("failed", "hung", "crashed")


@dataclass(frozen=True)
class Outcome:
    """What became of one test: "passed", "skipped", "failed", "hung" or "crashed", and the traceback; "expected" of one that
    was left out."""

    kind: str
    text: str = ""

    @property
    def is_bad(self) -> bool:
        return self.kind in BAD


def run(python: Path, job: Job) -> dict[str, Outcome]:
    """The outcomes of the tests by their names.

    A test in which the process ends or is ended for taking too long is left out in the next process, which goes on with
    the others.
    """
    outcomes: dict[str, Outcome] = {}
    deadline = time.monotonic() + job.limit
    while True:
        with tempfile.TemporaryDirectory(prefix="kthreads-job-", ignore_cleanup_errors=True) as folder:
            finished, current, problem = _Process(python, job, Path(folder), deadline).run(outcomes)
        if finished:
            return outcomes
        outcomes[current or f"{job.name}.(itself)"] = problem
        if current is None or time.monotonic() >= deadline:
            return outcomes


class _Process:
    """One process that runs the tests of a job that have no outcome yet."""

    def __init__(self, python: Path, job: Job, folder: Path, deadline: float) -> None:
        self.command = [python, "-W", "default", "-X", "faulthandler", job.child, folder / "request"]
        self.job, self.folder, self.deadline = job, folder, deadline
        self.lines, self.log = folder / "lines", folder / "log"

    def run(self, outcomes: dict[str, Outcome]) -> tuple[bool, str | None, Outcome]:
        """Adds the outcomes. Returns whether the process came to the end of the tests; else the test in which it ended, None
        where it was in none, and what happened there."""
        self._write_request(skip=sorted(outcomes))
        with self.log.open("wb") as output:
            process = subprocess.Popen(
                self.command,
                cwd=self.job.folder or self.folder / "place",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            was_in_time = self._wait(process)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        finished, current = self._read(outcomes)
        text = f"status {process.returncode}\n" + self.log.read_text(errors="replace")[-6000:]
        problem = Outcome("crashed" if was_in_time else "hung", text)
        if finished and process.returncode != 0:
            outcomes[f"{self.job.name}.(exit)"] = problem
        return finished, current, problem

    def _write_request(self, skip: list[str]) -> None:
        (self.folder / "place").mkdir()
        self.lines.touch()
        request = {"module": self.job.name, "only": self.job.only, "leave_out": self.job.leave_out, "skip": skip}
        (self.folder / "request").write_text(json.dumps({**request, "output": str(self.lines)}))

    def _wait(self, process: subprocess.Popen) -> bool:
        """Waits for the end of the process. Of one that takes too long it asks the tracebacks of all threads, and ends it."""
        size, since = 0, time.monotonic()
        while process.poll() is None:
            time.sleep(0.02)
            now = time.monotonic()
            if (new_size := self.lines.stat().st_size) != size:
                size, since = new_size, now
            if now - since > self.job.test_limit or now > self.deadline:
                _abort(process)
                return False
        return True

    def _read(self, outcomes: dict[str, Outcome]) -> tuple[bool, str | None]:
        """Adds the outcomes. Returns whether the tests came to their end, and the test that was begun and not ended."""
        finished, current = False, None
        for text in self.lines.read_text().splitlines():
            try:
                line = json.loads(text)
            except ValueError:  # the process was killed as it wrote the line
                continue
            if "begin" in line:
                current = line["begin"]
            elif "end" in line:
                current = None
                outcomes[line["end"]] = Outcome(line["outcome"], line["text"])
            finished = finished or "finished" in line
        return finished, current


def _abort(process: subprocess.Popen) -> None:
    process.send_signal(signal.SIGABRT)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
