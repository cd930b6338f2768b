"""A fresh process that measures: reads its job as JSON from standard input, and writes each block as a line of JSON as soon
as it has it. Run by `python -m kthreads.bench.measure.worker`."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import Any

from kthreads import deadline
from kthreads._native import lib
from kthreads.bench.measure import environment
from kthreads.bench.measure.job import Job
from kthreads.bench.measure.peers import Peer, PeerError, open_peer, reason_missing
from kthreads.bench.model.peer_names import MissingError
from kthreads.bench.model.run import Block
from kthreads.bench.model.suites import SUITES, Case, Suite

SETTLE_NS = 500_000_000
BUDGET_NS = 1_000_000_000  # of a block; in a quick run a part of it
QUICK_REASON = "left out of a quick run: it takes seconds to compile"


@contextlib.contextmanager
def _pinned(width: int) -> Iterator[bool]:
    """Keeps this process to so many of its CPUs, the last ones; yields False where it has no more than that."""
    cpus = sorted(os.sched_getaffinity(0))
    if width >= len(cpus):
        yield False
        return
    os.sched_setaffinity(0, cpus[-width:])
    try:
        yield True
    finally:
        os.sched_setaffinity(0, cpus)


def _width(suite: Suite, case: Case) -> int:
    """How many CPUs a case needs. A creation and join needs one, as one of its two threads waits."""
    alone = (suite.family == "threads" and suite.name != "creators") or suite.name == "py-start"
    return 1 if alone else case.threads


def _warm_up(case: Case) -> int:
    """How many samples are measured and dropped before a block. Where they are short: enough for a pool to learn how long to
    spin."""
    part = 2 if case.gap_ns < 100_000 else 10
    return min(case.count, max(2, case.count // part))


class Session:
    """Measures a job.

    Args:
        write: is given each line of output.
    """

    def __init__(self, job: Job, write: Callable[[dict[str, Any]], None]) -> None:
        self.job, self.write = job, write
        self.chance = random.Random(job.seed)
        self.end = deadline.after(job.seconds)
        self.failed: set[tuple[str, str, str]] = set()

    def is_over(self) -> bool:
        """Whether no further block may be begun."""
        return deadline.has_passed(self.end)

    def run(self) -> None:
        """Measures all of the job that there is time for."""
        for name in self.job.suites:
            suite = SUITES[name]
            if self.job.pinned and not suite.pins:
                continue
            for case in self.job.cases_of(suite, len(os.sched_getaffinity(0))):
                if self.job.pinned:
                    with _pinned(_width(suite, case)) as fewer:
                        if fewer:
                            self._measure_case(suite, case)
                else:
                    self._measure_case(suite, case)
        self.write({"libraries": environment.loaded_libraries(), "over": self.is_over()})

    def _measure_case(self, suite: Suite, case: Case) -> None:
        """Measures the blocks of a case: in each round one of each peer, in a random order."""
        case = replace(case, count=max(3, case.count // self.job.divisor) if case.count > 1 else 1)
        with ExitStack() as stack:
            peers = self._open_peers(suite, case, stack)
            for number in range(self.job.rounds_of(suite)):
                turn = list(peers)
                self.chance.shuffle(turn)
                for peer in turn:
                    if self.is_over():
                        return
                    self._measure_block(suite, case, peer, peers[peer], number)

    def _open_peers(self, suite: Suite, case: Case, stack: ExitStack) -> dict[str, Peer]:
        """The peers that can be measured here; writes why others cannot."""
        found: dict[str, Peer] = {}
        for peer in suite.peers_of(case):
            if not self.job.wants(peer):
                continue
            if (reason := self._reason_missing(suite, peer)) is not None:
                self.write({"missing": peer, "reason": reason})
                continue
            try:
                found[peer] = open_peer(suite, peer, case, stack)
            except MissingError as error:
                self.write({"missing": peer, "reason": str(error)})
            except PeerError as error:
                self._fail(suite, case, peer, error)
        return found

    def _reason_missing(self, suite: Suite, peer: str) -> str | None:
        return QUICK_REASON if self.job.divisor > 1 and peer == "numba" else reason_missing(suite, peer)

    def _fail(self, suite: Suite, case: Case, peer: str, error: PeerError) -> None:
        self.failed.add((suite.name, case.label, peer))
        self.write({"failed": f"{suite.name} {case.label}: {peer}: {error}".replace(" :", ":")})

    def _measure_block(self, suite: Suite, case: Case, name: str, peer: Peer, number: int) -> None:
        """Measures one block after a warm-up, and writes it. A peer that fails is measured no more in this case."""
        if (suite.name, case.label, name) in self.failed:
            return
        budget_ns = BUDGET_NS // self.job.divisor**2
        if suite.family in ("pools", "python", "jobs"):
            lib.kt_bench_settle(SETTLE_NS)  # idle threads of the peer before may still spin
        try:
            if case.count > 1 or number == 0:
                peer.measure(replace(case, count=_warm_up(case)), budget_ns)
            found = peer.measure(case, budget_ns)
        except PeerError as error:
            self._fail(suite, case, name, error)
            return
        block = Block(suite.name, case.label, case.value, name, self.job.pinned, self.job.process, number, **found)
        self.write({"block": asdict(block)})


def _write(line: dict[str, Any]) -> None:
    print(json.dumps(line, separators=(",", ":")), flush=True)


def main() -> None:
    """Measures the job on standard input."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which kills this process
    job = Job(**json.load(sys.stdin))
    for path in job.shims:
        lib.kt_bench_shim(path.encode())
    Session(job, _write).run()


if __name__ == "__main__":
    main()
