"""Runs fresh processes that measure, one after another, and collects what they write."""

from __future__ import annotations

import contextlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from kthreads import deadline
from kthreads.bench.analysis.results import Block, Run
from kthreads.bench.measure import calls, environment, shims
from kthreads.bench.measure.suites import SUITES, SYSCALLS
from kthreads.bench.measure.worker import Order, cases_of, rounds_of
from kthreads.pools.settings import SPIN_NS

PROCESSES = 4
QUICK_PROCESSES = 2
QUICK_DIVISOR = 5
QUICK_SECONDS = 15.0  # for the processes; what is before and after takes a few more
FULL_SECONDS = 600.0  # of one process: more than any needs
QUICK_CALLS = ("clone", "pthread", "bare")

Progress = Callable[[float, str], None]
"""Is told the part that is done, from 0 to 1, and of what."""


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Attributes:
        suites: names, in order.
        peers: only these; all when None.
    """

    suites: Sequence[str]
    peers: Sequence[str] | None = None
    quick: bool = False

    @property
    def timed(self) -> list[str]:
        return [name for name in self.suites if name != SYSCALLS]

    def orders(self, libraries: list[str]) -> Iterator[Order]:
        """One for each fresh process. A quick run puts all suites into one process."""
        chance = random.Random()
        parts = [self.timed] if self.quick else [[name] for name in self.timed]
        for process in range(QUICK_PROCESSES if self.quick else PROCESSES):
            for part in parts:
                for pinned in (False, True):
                    if not part or (pinned and not any(SUITES[name].pins for name in part)):
                        continue
                    yield Order(
                        part,
                        None if self.peers is None else list(self.peers),
                        process,
                        pinned,
                        libraries,
                        QUICK_DIVISOR if self.quick else 1,
                        FULL_SECONDS,
                        chance.randrange(1 << 32),
                    )


def _expected(order: Order) -> int:
    """Blocks that a process will write, at most."""
    cpus = len(os.sched_getaffinity(0))
    blocks = 0
    for suite in map(SUITES.__getitem__, order.suites):
        peers = [peer for peer in suite.peers if order.peers is None or peer in order.peers]
        blocks += len(cases_of(suite, order, cpus)) * len(peers) * rounds_of(suite, order)
    return max(1, blocks)


def _share(orders: Sequence[Order], seconds: float) -> float:
    """The part of the time that is left which the first of the processes that are left may take: those that are pinned
    measure less."""
    weights = [1 if order.pinned else 4 for order in orders]
    return max(0.5, seconds * weights[0] / sum(weights))


class Runner:
    """One run, from beginning to end. `run` holds what has been found so far, whatever happens."""

    def __init__(self, plan: Plan, progress: Progress = lambda part, what: None) -> None:
        self.plan, self.progress = plan, progress
        self.run = Run(environment=environment.now())
        self.run.environment["spin of kthreads ns"] = SPIN_NS
        self.run.environment["quick"] = plan.quick
        self.failed = False

    def measure(self) -> Run:
        """Measures all of the plan. On KeyboardInterrupt, and after any error, `run` is as far as it came."""
        end = deadline.after(QUICK_SECONDS if self.plan.quick else None)
        orders = list(self.plan.orders(self._shims()))
        self._count_calls()
        for number, order in enumerate(orders):
            seconds = order.seconds if end is None else _share(orders[number:], deadline.left_ns(end) / 1e9)
            self._process(replace(order, seconds=seconds), number / len(orders), 1 / len(orders))
        return self.run

    def _note(self, note: str) -> None:
        if note not in self.run.notes:
            self.run.notes.append(note)

    def _wants(self, peer: str) -> bool:
        used = {peer for name in self.plan.timed for peer in SUITES[name].peers}
        return peer in used and (self.plan.peers is None or peer in self.plan.peers)

    def _shims(self) -> list[str]:
        """The libraries of the peers in C++ that are wanted."""
        found = []
        for peer in filter(self._wants, shims.LIBRARIES):
            self.progress(0, f"compiling {peer}")
            try:
                found.append(str(shims.make(peer)))
            except shims.ShimError as error:
                self.run.missing[peer] = str(error)
        return found

    def _count_calls(self) -> None:
        if SYSCALLS not in self.plan.suites:
            return
        for maker in QUICK_CALLS if self.plan.quick else calls.MAKERS:
            if self.plan.peers is not None and maker not in self.plan.peers:
                continue
            self.progress(0, f"{SYSCALLS}: {maker}")
            try:
                self.run.syscalls[maker] = calls.count_calls(maker)
            except calls.TraceError as error:
                self.run.missing[SYSCALLS] = str(error)
                return

    def _process(self, order: Order, done: float, share: float) -> None:
        """Runs one process, and takes in each line as it comes."""
        expected, blocks = _expected(order), 0
        process = subprocess.Popen(
            [sys.executable, "-m", "kthreads.bench.measure.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with contextlib.suppress(BrokenPipeError):  # it has ended: with what status is looked at below
                json.dump(asdict(order), process.stdin)
                process.stdin.close()
            for line in process.stdout:
                content = json.loads(line)
                self._take(content)
                if "block" in content:
                    blocks += 1
                    what = f"{content['block']['suite']}: {content['block']['peer']}"
                    self.progress(done + share * min(1, blocks / expected), what)
            if process.wait() != 0:
                self._fail(f"{', '.join(order.suites)}: the process that measured ended with {process.returncode}")
        finally:
            process.kill()
            process.wait()
            process.stdout.close()

    def _take(self, line: dict[str, Any]) -> None:
        if "block" in line:
            self.run.blocks.append(Block(**line["block"]))
        elif "missing" in line:
            self.run.missing.setdefault(line["missing"], line["reason"])
        elif "failed" in line:
            self._fail(line["failed"])
        else:
            self.run.environment.setdefault("libraries", {}).update(line["libraries"])
            if line["over"]:
                self._note("cut short: the time was over before all had been measured")

    def _fail(self, what: str) -> None:
        self.failed = True
        self._note(f"failed: {what}")
