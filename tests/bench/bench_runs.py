"""Runs of the benchmarks made up for tests, and the modules that make pages of runs."""

from __future__ import annotations

import importlib
import random
import sys
from pathlib import Path
from types import ModuleType

from kthreads.bench.measure import environment
from kthreads.bench.model.run import Block, Run
from kthreads.bench.model.suites import SUITES

ROOT = Path(__file__).parents[2]


def from_benchmarks(name: str) -> ModuleType:
    """A module in the folder benchmarks."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.pop(0)


def block(suite="create-join", peer="clone", samples=(10_000,), **fields):
    given = {"case": "", "value": 0.0, "pinned": False, "process": 0, "round": 0, "wall_ns": 100, "cpu_ns": 50}
    return Block(suite=suite, peer=peer, samples=list(samples), **{**given, **fields})


def full_run(scale=1.0, seed=0):
    """All suites, each peer taking ten microseconds times its number."""
    chance = random.Random(seed)
    run = Run(environment=environment.now())
    for suite in SUITES.values():
        for case in suite.cases(2):
            for number, peer in enumerate(suite.peers_of(case), 1):
                for process in range(2):
                    for turn in range(3):
                        samples = [int(scale * 10_000 * number * chance.lognormvariate(0, 0.02)) for _ in range(20)]
                        more = {"resident": 8192.0, "page tables": 512.0, "kernel stacks": 16384.0, "stop ns": 9.0}
                        fields = {"case": case.label, "value": case.value, "process": process, "round": turn}
                        extra = {"more": more} if suite.family == "alive" else {}
                        run.blocks.append(block(suite.name, peer, samples, **fields, **extra))
    run.syscalls = {"clone": {"clone": 1.0, "futex": 0.9}, "pthread": {"clone3": 1.0, "madvise": 1.0}}
    run.missing = {"numba": "numba is not installed"}
    return run
