"""Runs one fresh process for each job of a plan, and collects what they write."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from kthreads import deadline
from kthreads.bench.measure import environment, shims, syscalls
from kthreads.bench.measure.job import Job
from kthreads.bench.measure.plan import Plan
from kthreads.bench.model.run import Block, Run
from kthreads.bench.model.suites import SUITES, SYSCALLS
from kthreads.pools.settings import SPIN_NS

QUICK_SECONDS = 15.0  # for the processes; what goes before and after takes a few more
QUICK_MAKERS = ("clone", "pthread", "bare")

Progress = Callable[[float, str], None]
"""Is told the part that is done, from 0 to 1, and what is being measured."""


def share_of_time(jobs: Sequence[Job], seconds: float) -> float:
    """The seconds, of those that are left, that the first of the remaining jobs may take. Pinned jobs measure less."""
    weights = [1 if job.pinned else 4 for job in jobs]
    return max(0.5, seconds * weights[0] / sum(weights))


def _most_blocks(job: Job) -> int:
    """How many blocks a process writes at most."""
    cpus = len(os.sched_getaffinity(0))
    blocks = 0
    for suite in map(SUITES.__getitem__, job.suites):
        for case in job.cases_of(suite, cpus):
            blocks += job.rounds_of(suite) * sum(map(job.wants, suite.peers_of(case)))
    return max(1, blocks)


class Runner:
    """Measures a plan.

    Attributes:
        run: what has been measured so far, also after an interrupt or an error.
        failed: whether a peer or a process failed.
    """

    def __init__(self, plan: Plan, progress: Progress = lambda part, what: None) -> None:
        self.plan, self.progress = plan, progress
        self.run = Run(environment=environment.now())
        self.run.environment["spin of kthreads ns"] = SPIN_NS
        self.run.environment["quick"] = plan.quick
        self.failed = False

    def measure(self) -> Run:
        """Measures all of the plan. After a KeyboardInterrupt, or any other exception, `run` has what was measured."""
        end = deadline.after(QUICK_SECONDS if self.plan.quick else None)
        jobs = list(self.plan.jobs(self.make_shims()))
        self.count_syscalls()
        for number, job in enumerate(jobs):
            seconds = job.seconds if end is None else share_of_time(jobs[number:], deadline.left_ns(end) / 1e9)
            self.run_process(replace(job, seconds=seconds), number / len(jobs), 1 / len(jobs))
        return self.run

    def make_shims(self) -> list[str]:
        """Compiles the libraries of the peers in C++ that the plan measures; returns their paths."""
        found = []
        for peer in filter(self.plan.wants, shims.LIBRARIES):
            self.progress(0, f"compiling {peer}")
            try:
                found.append(str(shims.make(peer)))
            except shims.ShimError as error:
                self.run.missing[peer] = str(error)
        return found

    def count_syscalls(self) -> None:
        """Counts the system calls of each maker, where the plan asks for them."""
        if SYSCALLS not in self.plan.suites:
            return
        for maker in QUICK_MAKERS if self.plan.quick else syscalls.MAKERS:
            if self.plan.peers is not None and maker not in self.plan.peers:
                continue
            self.progress(0, f"{SYSCALLS}: {maker}")
            try:
                self.run.syscalls[maker] = syscalls.count(maker)
            except syscalls.TraceError as error:
                self.run.missing[SYSCALLS] = str(error)
                return

    def run_process(self, job: Job, done: float, share: float) -> None:
        """Runs one process, and takes each line as it comes.

        Args:
            done: the part of the run that is done.
            share: the part of the run that this job is.
        """
        most, blocks = _most_blocks(job), 0
        process = subprocess.Popen(
            [sys.executable, "-m", "kthreads.bench.measure.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # the process has ended; its status is checked below
                json.dump(asdict(job), process.stdin)
                process.stdin.close()
            for line in process.stdout:
                content = json.loads(line)
                self.take(content)
                if "block" in content:
                    blocks += 1
                    what = f"{content['block']['suite']}: {content['block']['peer']}"
                    self.progress(done + share * min(1, blocks / most), what)
            if process.wait() != 0:
                self._fail(f"{', '.join(job.suites)}: the process that measured ended with {process.returncode}")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def take(self, line: dict[str, Any]) -> None:
        """Adds a line that a process wrote to the run."""
        if "block" in line:
            self.run.blocks.append(Block(**line["block"]))
        elif "missing" in line:
            self.run.missing.setdefault(line["missing"], line["reason"])
        elif "failed" in line:
            self._fail(line["failed"])
        else:
            self.run.environment.setdefault("libraries", {}).update(line["libraries"])
            if line["over"]:
                self._note("cut short: the time was over before everything had been measured")

    def _note(self, note: str) -> None:
        if note not in self.run.notes:
            self.run.notes.append(note)

    def _fail(self, what: str) -> None:
        self.failed = True
        self._note(f"failed: {what}")
