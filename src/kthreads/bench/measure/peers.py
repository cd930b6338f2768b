"""The peers of the timed suites: each measures a block of samples of one case."""

from __future__ import annotations

import errno
import os
import resource
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from kthreads._native import ffi, lib
from kthreads.bench.jobs import table as jobs
from kthreads.bench.measure import memory, operations
from kthreads.bench.model.suites import LOOP_WORK_NS, WORK_NS, Case, Suite
from kthreads.pools.settings import SPIN_NS


class PeerError(Exception):
    """A peer failed, or did less than it was asked to."""


class Peer(Protocol):
    """One way to do the operation of a suite."""

    def measure(self, case: Case, budget_ns: int) -> dict[str, Any]:
        """Measures a block, and returns the fields of `Block` that the peer knows.

        Args:
            budget_ns: after which no further sample is begun.

        Raises:
            PeerError: the peer failed, or did less than it was asked to.
        """


def _numbers_of(count: int, name: Callable[[int], Any]) -> dict[str, int]:
    """The harness's number for each name."""
    return {ffi.string(name(number)).decode(): number for number in range(count)}


MAKERS = _numbers_of(lib.kt_bench_makers(), lib.kt_bench_maker_name)
POOLS = _numbers_of(lib.kt_bench_pools(), lib.kt_bench_pool_name)


def _request_of(case: Case, budget_ns: int, work_ns: int = 0) -> Any:
    request = ffi.new("kt_bench_request *")
    request.count, request.budget_ns, request.threads = case.count, budget_ns, case.threads
    request.work_ns, request.gap_ns = work_ns, case.gap_ns
    return request


def _measured(case: Case, call: Callable[[Any, Any], int]) -> dict[str, Any]:
    """The fields of a block that the harness in C measures by ``call(samples, block)``."""
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
class MakerPeer:
    """A way to make threads, measured in C."""

    suite: Suite
    number: int

    def measure(self, case: Case, budget_ns: int) -> dict[str, Any]:
        code = getattr(lib, self.suite.code)
        request = _request_of(case, budget_ns)
        return _measured(case, lambda samples, block: lib.kt_bench_threads(code, self.number, request, samples, block))


@dataclass
class PoolPeer:
    """A pool of threads, measured in C."""

    suite: Suite
    handle: Any

    def measure(self, case: Case, budget_ns: int) -> dict[str, Any]:
        code = getattr(lib, self.suite.code)
        request = _request_of(case, budget_ns, WORK_NS)
        return _measured(case, lambda samples, block: lib.kt_bench_pool_run(code, self.handle, request, samples, block))


@dataclass
class AlivePeer:
    """A way to make threads, of which many are alive at once. A block has one sample, and the memory of each thread."""

    number: int

    def measure(self, case: Case, budget_ns: int) -> dict[str, Any]:
        place, reached, ns = ffi.new("kt_bench_alive **"), ffi.new("size_t *"), ffi.new("int64_t *")
        before, begin, cpu = memory.now(), time.perf_counter_ns(), time.process_time_ns()
        if (code := lib.kt_bench_alive_start(place, self.number, case.threads, reached, ns)) < 0:
            raise PeerError(os.strerror(-code))
        after = memory.now()
        stop_ns = lib.kt_bench_alive_stop(place[0])
        lib.kt_trim()  # else the stacks that are kept would be missing from the memory of the next block
        if reached[0] < case.threads:
            raise PeerError(f"only {reached[0]:,} of {case.threads:,} threads could be started")
        return {
            "samples": [ns[0] // case.threads],
            "wall_ns": time.perf_counter_ns() - begin,
            "cpu_ns": time.process_time_ns() - cpu,
            "more": {**memory.grown(before, after, case.threads), "stop ns": stop_ns / case.threads},
        }


@dataclass
class PythonPeer:
    """An operation from Python.

    Attributes:
        work_ns: the work of one operation, which is taken off each sample.
    """

    operation: operations.Operation
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


def reason_missing(suite: Suite, peer: str) -> str | None:
    """Why a peer cannot be measured on this machine, as far as that is known before it is opened; else None."""
    number, reason = MAKERS.get(peer), ffi.NULL
    if suite.family == "pools":
        number, reason = POOLS.get(peer), lib.kt_bench_pool_missing(POOLS[peer])
    elif suite.family in ("threads", "alive"):
        reason = lib.kt_bench_maker_missing(number)
    return None if reason == ffi.NULL else ffi.string(reason).decode()


def open_peer(suite: Suite, peer: str, case: Case, stack: ExitStack) -> Peer:
    """Opens a peer that is not missing; `stack` closes it.

    Raises:
        MissingError: a package is not installed.
        PeerError: the peer cannot be opened.
    """
    if suite.family == "threads":
        return MakerPeer(suite, MAKERS[peer])
    if suite.family == "alive":
        return AlivePeer(MAKERS[peer])
    if suite.family == "pools":
        place = ffi.new("kt_bench_pool **")
        if (code := lib.kt_bench_pool_open(place, POOLS[peer], case.threads, SPIN_NS)) < 0:
            raise PeerError(os.strerror(-code))
        stack.callback(lib.kt_bench_pool_close, place[0])
        return PoolPeer(suite, place[0])
    if suite.family == "jobs":
        try:
            return PythonPeer(jobs.operation(case.label, peer, case.threads, stack), 0)
        except jobs.WrongOutcomeError as error:
            raise PeerError(str(error)) from None
    operation = stack.enter_context(operations.OPERATIONS[suite.name][peer](case.threads))
    return PythonPeer(operation, LOOP_WORK_NS if suite.name == "py-loop" else 0)
