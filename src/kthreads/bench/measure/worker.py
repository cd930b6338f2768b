"""A fresh process that measures: reads what to measure as JSON from its standard input, and writes each block as a line of
JSON as soon as it has it. `python -m kthreads.bench.measure.worker`."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol

from kthreads import deadline
from kthreads._native import ffi, lib
from kthreads.bench.analysis.results import Block
from kthreads.bench.measure import environment, memory, peers
from kthreads.bench.measure.suites import LOOP_WORK_NS, SUITES, WORK_NS, Case, Suite
from kthreads.pools.settings import SPIN_NS

SETTLE_NS = 500_000_000
BUDGET_NS = 1_000_000_000  # of a block; in a quick run a part of it
QUICK_REASON = "left out of a quick run: it takes seconds to compile"


class PeerError(Exception):
    """A peer failed, or its proof that it did the work."""


@dataclass(frozen=True)
class Order:
    """What a process is to measure.

    Attributes:
        peers: only these; all when None.
        shims: libraries of the peers in C++.
        divisor: of samples and rounds, more than 1 for quick runs.
        seconds: after which no further block is begun.
    """

    suites: list[str]
    peers: list[str] | None
    process: int
    pinned: bool
    shims: list[str]
    divisor: int
    seconds: float
    seed: int


class Peer(Protocol):
    """What takes a block of samples."""

    def measure(self, case: Case, budget_ns: int) -> dict[str, Any]:
        """The fields of `Block` that it knows; begins no further sample after so long. Raises PeerError."""


def _names(count: int, name: Callable[[int], Any]) -> dict[str, int]:
    return {ffi.string(name(number)).decode(): number for number in range(count)}


MAKERS = _names(lib.kt_bench_makers(), lib.kt_bench_maker_name)
POOLS = _names(lib.kt_bench_pools(), lib.kt_bench_pool_name)


# ---- Blocks of the harness ---------------------------------------------------------------------------------------------


def _request(case: Case, budget_ns: int, work_ns: int = 0) -> Any:
    request = ffi.new("kt_bench_request *")
    request.count, request.budget_ns, request.threads = case.count, budget_ns, case.threads
    request.work_ns, request.gap_ns = work_ns, case.gap_ns
    return request


def _harness(case: Case, call: Callable[[Any, Any], int]) -> dict[str, Any]:
    """Has a block measured by ``call(samples, block)``."""
    samples, block = ffi.new("int64_t[]", case.count), ffi.new("kt_bench_block *")
    code = call(samples, block)
    if code == -errno.EPROTO:
        raise PeerError("its functions did not run as often as they were started")
    if code < 0:
        raise PeerError(os.strerror(-code))
    fields = ("wall_ns", "cpu_ns", "faults", "switches", "preemptions")
    return {
        "samples": ffi.unpack(samples, block.count) if block.count else [],
        "seen": block.seen / max(1, block.count),
        **{field: int(getattr(block, field)) for field in fields},
    }


@dataclass
class _Maker:
    suite: Suite
    number: int

    def measure(self, case: Case, budget_ns: int) -> dict[str, Any]:
        code = getattr(lib, self.suite.code)
        request = _request(case, budget_ns)
        return _harness(case, lambda samples, block: lib.kt_bench_threads(code, self.number, request, samples, block))


@dataclass
class _Pool:
    suite: Suite
    handle: Any

    def measure(self, case: Case, budget_ns: int) -> dict[str, Any]:
        code = getattr(lib, self.suite.code)
        request = _request(case, budget_ns, WORK_NS)
        return _harness(case, lambda samples, block: lib.kt_bench_pool_run(code, self.handle, request, samples, block))


@dataclass
class _Alive:
    number: int

    def measure(self, case: Case, budget_ns: int) -> dict[str, Any]:
        place, reached, ns = ffi.new("kt_bench_alive **"), ffi.new("size_t *"), ffi.new("int64_t *")
        before, begin, cpu = memory.now(), time.perf_counter_ns(), time.process_time_ns()
        if (code := lib.kt_bench_alive_start(place, self.number, case.threads, reached, ns)) < 0:
            raise PeerError(os.strerror(-code))
        after = memory.now()
        stop_ns = lib.kt_bench_alive_stop(place[0])
        lib.kt_trim()  # what is kept for the next time is no part of the next block
        if reached[0] < case.threads:
            raise PeerError(f"only {reached[0]:,} of {case.threads:,} threads could be started")
        return {
            "samples": [ns[0] // case.threads],
            "wall_ns": time.perf_counter_ns() - begin,
            "cpu_ns": time.process_time_ns() - cpu,
            "more": {**memory.grown(before, after, case.threads), "stop ns": stop_ns / case.threads},
        }


@dataclass
class _Python:
    operation: peers.Operation
    work_ns: int

    def measure(self, case: Case, budget_ns: int) -> dict[str, Any]:
        lib.kt_bench_workers_seen()
        samples: list[int] = []
        operation, clock = self.operation, time.perf_counter_ns
        overhead = int(lib.kt_bench_clock_overhead()) + int(lib.kt_bench_work_takes(self.work_ns))
        before, begin, cpu = resource.getrusage(resource.RUSAGE_SELF), clock(), time.process_time_ns()
        end = begin + budget_ns
        while not samples or (len(samples) < case.count and clock() < end):
            start = clock()
            operation()
            samples.append(clock() - start - overhead)
        after = resource.getrusage(resource.RUSAGE_SELF)
        wall_ns, cpu_ns = clock() - begin, time.process_time_ns() - cpu
        return {
            "samples": samples,
            "wall_ns": wall_ns,
            "cpu_ns": cpu_ns,
            "faults": after.ru_minflt - before.ru_minflt,
            "switches": after.ru_nvcsw - before.ru_nvcsw,
            "preemptions": after.ru_nivcsw - before.ru_nivcsw,
            "seen": float(lib.kt_bench_workers_seen()),
        }


# ---- The peers of a case -----------------------------------------------------------------------------------------------


def missing(suite: Suite, peer: str) -> str | None:
    """Why a peer cannot be measured here, as far as that is known before it is tried."""
    number, reason = MAKERS.get(peer), ffi.NULL
    if suite.family == "pools":
        number, reason = POOLS.get(peer), lib.kt_bench_pool_missing(POOLS[peer])
    elif suite.family in ("threads", "alive"):
        reason = lib.kt_bench_maker_missing(number)
    return None if reason == ffi.NULL else ffi.string(reason).decode()


def _open(suite: Suite, peer: str, case: Case, stack: ExitStack) -> Peer:
    """A peer that is not missing. Raises peers.MissingError for a package that is not installed, and PeerError."""
    if suite.family == "threads":
        return _Maker(suite, MAKERS[peer])
    if suite.family == "alive":
        return _Alive(MAKERS[peer])
    if suite.family == "pools":
        place = ffi.new("kt_bench_pool **")
        if (code := lib.kt_bench_pool_open(place, POOLS[peer], case.threads, SPIN_NS)) < 0:
            raise PeerError(os.strerror(-code))
        stack.callback(lib.kt_bench_pool_close, place[0])
        return _Pool(suite, place[0])
    operation = stack.enter_context(peers.PEERS[suite.name][peer](case.threads))
    return _Python(operation, LOOP_WORK_NS if suite.name == "py-loop" else 0)


# ---- Measuring ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _pinned(width: int) -> Iterator[bool]:
    """On so many CPUs, the last ones; False where there are no more."""
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
    """How many CPUs a case needs to run as it is meant to."""
    alone = (suite.family == "threads" and suite.name != "creators") or suite.name == "py-start"
    return 1 if alone else case.threads


def rounds_of(suite: Suite, order: Order) -> int:
    """How many rounds a process measures."""
    return max(2, suite.rounds // order.divisor)


def cases_of(suite: Suite, order: Order, cpus: int) -> list[Case]:
    """The cases that a process measures."""
    return [case for case in suite.cases(cpus) if order.divisor == 1 or case.quick]


def _warm_up(case: Case) -> int:
    """How many samples go before those that count: enough for a pool to learn how long to spin, where they are short."""
    part = 2 if case.gap_ns < 100_000 else 10
    return min(case.count, max(2, case.count // part))


class Session:
    """The life of this process."""

    def __init__(self, order: Order, write: Callable[[dict[str, Any]], None]) -> None:
        self.order, self.write = order, write
        self.chance = random.Random(order.seed)
        self.end = deadline.after(order.seconds)
        self.failed: set[tuple[str, str, str]] = set()

    def is_over(self) -> bool:
        return deadline.has_passed(self.end)

    def run(self) -> None:
        for name in self.order.suites:
            suite = SUITES[name]
            if self.order.pinned and not suite.pins:
                continue
            for case in cases_of(suite, self.order, len(os.sched_getaffinity(0))):
                if self.order.pinned:
                    with _pinned(_width(suite, case)) as fewer:
                        if fewer:
                            self._case(suite, case)
                else:
                    self._case(suite, case)
        self.write({"libraries": environment.loaded_libraries(), "over": self.is_over()})

    def _case(self, suite: Suite, case: Case) -> None:
        case = replace(case, count=max(3, case.count // self.order.divisor) if case.count > 1 else 1)
        with ExitStack() as stack:
            peers = self._peers(suite, case, stack)
            for number in range(rounds_of(suite, self.order)):
                turn = list(peers)
                self.chance.shuffle(turn)
                for peer in turn:
                    if self.is_over():
                        return
                    self._block(suite, case, peer, peers[peer], number)

    def _peers(self, suite: Suite, case: Case, stack: ExitStack) -> dict[str, Peer]:
        found: dict[str, Peer] = {}
        for peer in suite.peers:
            if self.order.peers is not None and peer not in self.order.peers:
                continue
            if (reason := self._reason(suite, peer)) is not None:
                self.write({"missing": peer, "reason": reason})
                continue
            try:
                found[peer] = _open(suite, peer, case, stack)
            except peers.MissingError as error:
                self.write({"missing": peer, "reason": str(error)})
            except PeerError as error:
                self._fail(suite, case, peer, error)
        return found

    def _reason(self, suite: Suite, peer: str) -> str | None:
        return QUICK_REASON if self.order.divisor > 1 and peer == "numba" else missing(suite, peer)

    def _fail(self, suite: Suite, case: Case, peer: str, error: PeerError) -> None:
        self.failed.add((suite.name, case.label, peer))
        self.write({"failed": f"{suite.name} {case.label}: {peer}: {error}".replace(" :", ":")})

    def _block(self, suite: Suite, case: Case, name: str, peer: Peer, number: int) -> None:
        if (suite.name, case.label, name) in self.failed:
            return
        budget_ns = BUDGET_NS // self.order.divisor**2
        if suite.family in ("pools", "python"):
            lib.kt_bench_settle(SETTLE_NS)  # idle threads of the last peer spin for a while
        try:
            if case.count > 1 or number == 0:
                peer.measure(replace(case, count=_warm_up(case)), budget_ns)
            found = peer.measure(case, budget_ns)
        except PeerError as error:
            self._fail(suite, case, name, error)
            return
        block = Block(suite.name, case.label, case.value, name, self.order.pinned, self.order.process, number, **found)
        self.write({"block": asdict(block)})


def _write(line: dict[str, Any]) -> None:
    print(json.dumps(line, separators=(",", ":")), flush=True)


def main() -> None:
    """Measures what the standard input orders."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for who started this process, and ends it
    order = Order(**json.load(sys.stdin))
    for path in order.shims:
        lib.kt_bench_shim(path.encode())
    Session(order, _write).run()


if __name__ == "__main__":
    main()
