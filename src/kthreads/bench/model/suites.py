"""The suites: what is measured, in which cases, and which peers it is measured of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

WORK_NS = 5_000  # of each participant of a region; comparisons in the literature use as much
LOOP_WORK_NS = 100_000  # of each participant of a loop from Python


@dataclass(frozen=True)
class Case:
    """One point of a suite.

    Attributes:
        label: the case in words; "" where a suite has one case.
        value: the case as a number, for the axis of a plot.
        threads: how many threads one sample uses.
        gap_ns: the time between two samples.
        count: the number of samples in a block.
        quick: whether a quick run measures the case, too.
        peers: the peers that the case has; all of the suite's when None.
    """

    label: str
    value: float
    threads: int = 1
    gap_ns: int = 0
    count: int = 200
    quick: bool = True
    peers: tuple[str, ...] | None = None


Cases = Callable[[int], tuple[Case, ...]]


@dataclass(frozen=True)
class Suite:
    """What one sample is, in which cases it is measured, and of which peers.

    Attributes:
        family: what its peers are: "threads" (ways to make them), "alive" (the same, with many alive at once), "pools",
            "python" (operations of Python) or "jobs" (whole jobs, called from Python).
        code: the name of the harness's number for it (bench.h); "" where it is measured from Python.
        ours: the peer of kthreads that others are compared with.
        peers: all peers, in the order of tables.
        cases: gives the cases for a number of usable CPUs.
        pins: whether it is measured on as few CPUs as a case needs, too.
        rounds: how many rounds each process measures.
    """

    name: str
    title: str
    family: str
    code: str
    ours: str
    peers: tuple[str, ...]
    cases: Cases
    pins: bool = True
    rounds: int = 6

    def peers_of(self, case: Case) -> tuple[str, ...]:
        """The peers that a case is measured of, in the order of tables."""
        return self.peers if case.peers is None else tuple(peer for peer in self.peers if peer in case.peers)


def _one(case: Case) -> Cases:
    return lambda cpus: (case,)


def _sweep(cpus: int) -> tuple[int, ...]:
    """Numbers of threads: powers of two up to the number of CPUs, that number, and 2 and 8 times as many."""
    counts = {cpus, 2 * cpus, 8 * cpus}
    power = 1
    while power < cpus:
        counts.add(power)
        power *= 2
    return tuple(sorted(counts))


def _threads(count: int, least: int = 1) -> Cases:
    return lambda cpus: tuple(
        Case(f"{threads} thread{'s' * (threads > 1)}", threads, threads, count=count, quick=threads <= 2 * cpus)
        for threads in _sweep(cpus)
        if threads >= least
    )


def _gaps(cpus: int) -> tuple[Case, ...]:
    gaps = (("no gap", 0, 300), ("20 µs", 20_000, 300), ("1 ms", 1_000_000, 60), ("10 ms", 10_000_000, 20))
    return tuple(Case(label, gap, 2, gap, count, quick=gap in (0, 1_000_000)) for label, gap, count in gaps)


def _task_gaps(cpus: int) -> tuple[Case, ...]:
    return tuple(case for case in _gaps(cpus) if case.gap_ns in (0, 1_000_000))


def _alive(_: int) -> tuple[Case, ...]:
    return tuple(
        Case(f"{count:,} threads", count, count, count=1, quick=count == 1_000) for count in (100, 1_000, 10_000)
    )


_TEXT_PEERS = ("kthreads", "loop", "ThreadPoolExecutor", "processes", "joblib", "openmp")
_ARRAY_PEERS = ("kthreads", "numpy", "ThreadPoolExecutor", "processes", "joblib", "numba", "openmp")
JOBS: dict[str, tuple[str, ...]] = {
    "small hashes": _TEXT_PEERS,
    "compression of blocks": _TEXT_PEERS,
    "checksums": _TEXT_PEERS,
    "search for a pattern": _TEXT_PEERS,
    "special function": ("kthreads", "loop", "scipy", "ThreadPoolExecutor", "processes", "joblib", "numba", "openmp"),
    "stencil": tuple(peer for peer in _ARRAY_PEERS if peer != "processes"),
    "Monte Carlo": _ARRAY_PEERS,
    "small matrix products": _ARRAY_PEERS,
    "compression by zstd": _TEXT_PEERS,
}
"""The jobs of the suite "jobs", and the peers that each of them suits."""


def _jobs(cpus: int) -> tuple[Case, ...]:
    return tuple(Case(job, number, cpus, count=5, peers=peers) for number, (job, peers) in enumerate(JOBS.items()))


_MAKERS = (
    "clone", "clone3", "reuse", "pthread", "pthread-default", "pthread-fresh", "thrd", "std-thread", "bare", "bare3",
)  # fmt: skip
_PROCESSES = ("fork", "vfork-exec")
_LIBRARIES = ("libgomp", "libomp", "pthreadpool", "tbb")
_DETACHABLE = ("clone", "clone3", "reuse", "pthread", "pthread-default", "thrd", "std-thread")

SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite("create", "Creation to first instruction", "threads", "KT_BENCH_CREATE", "clone",
              (*_MAKERS, "fork"), _one(Case("", 0))),
        Suite("create-join", "Create and join an empty function", "threads", "KT_BENCH_CREATE_JOIN", "clone",
              _MAKERS + _PROCESSES, _one(Case("", 0))),
        Suite("join", "End of the function to return of join", "threads", "KT_BENCH_JOIN", "clone",
              _MAKERS, _one(Case("", 0, count=100))),
        Suite("detach", "Create and detach, a thread of a burst of 50", "threads", "KT_BENCH_DETACH", "clone",
              _DETACHABLE, _one(Case("", 0, threads=50, count=20))),
        Suite("switch", "Futex ping-pong, there and back", "threads", "KT_BENCH_SWITCH", "clone",
              ("clone", "clone3", "pthread", "bare", "fork"), _one(Case("", 0, count=500))),
        Suite("creators", "Concurrent creators: wall time of a create and join", "threads", "KT_BENCH_CREATORS",
              "clone", ("clone", "reuse", "pthread", "thrd", "std-thread", "bare"), _threads(20), rounds=4),
        Suite("alive", "Threads that are all alive: start of each", "alive", "", "clone",
              ("clone", "clone3", "pthread", "thrd", "std-thread", "bare"), _alive, pins=False, rounds=2),
        Suite("region", "Fork and join of a region, 5 µs of work each: overhead", "pools", "KT_BENCH_REGION",
              "kthreads", ("kthreads", *_LIBRARIES, "reuse", "clone", "pthread"), _gaps, rounds=3),
        Suite("region-scale", "Regions back to back over threads, 5 µs of work each: overhead", "pools",
              "KT_BENCH_REGION", "kthreads", ("kthreads", *_LIBRARIES, "reuse", "pthread"), _threads(100, 2), rounds=3),
        Suite("submit", "Submission of a task to its first instruction", "pools", "KT_BENCH_SUBMIT", "kthreads",
              ("kthreads", "tbb", "condvar", "reuse", "clone", "pthread"), _task_gaps, rounds=3),
        Suite("task", "Submission of a task until its end is known", "pools", "KT_BENCH_TASK", "kthreads",
              ("kthreads", "tbb", "condvar", "reuse", "clone", "pthread"), _task_gaps, rounds=3),
        Suite("py-start", "Python: start and join of an empty native function", "python", "", "kthreads",
              ("kthreads", "kthreads-reuse", "kthreads-python", "threading", "_thread"), _one(Case("", 0))),
        Suite("py-submit", "Python: submit and result of an empty native function", "python", "", "kthreads",
              ("kthreads", "kthreads-python", "kthreads-executor", "ThreadPoolExecutor", "ThreadPool"),
              lambda cpus: (Case("", 0, cpus),)),
        Suite("py-loop", "Python: a loop over all CPUs, 100 µs of work each: overhead", "python", "", "kthreads",
              ("kthreads", "kthreads-prepared", "ThreadPoolExecutor", "ThreadPool", "joblib", "numba"),
              lambda cpus: (Case("", 0, cpus, count=60),), rounds=4),
        Suite("jobs", "A whole job", "jobs", "", "kthreads",
              ("kthreads", "loop", "numpy", "scipy", "ThreadPoolExecutor", "processes", "joblib", "numba", "openmp"),
              _jobs, pins=False, rounds=4),
    )
}  # fmt: skip

SYSCALLS = "syscalls"  # counted by strace rather than timed (measure/syscalls.py)


def all_peers() -> tuple[str, ...]:
    """Every peer of every suite, in the order that suites name them."""
    return tuple(dict.fromkeys(peer for suite in SUITES.values() for peer in suite.peers))
