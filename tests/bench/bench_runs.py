"""Runs of the benchmarks made up for tests."""

from __future__ import annotations

import random

from kthreads.bench.measure import environment
from kthreads.bench.model.run import Block, Run
from kthreads.bench.model.suites import SUITES


def block(suite="create-join", peer="clone", samples=(10_000,), **fields):
    given = {"case": "", "value": 0.0, "pinned": False, "process": 0, "round": 0, "wall_ns": 100, "cpu_ns": 50}
    return Block(suite=suite, peer=peer, samples=list(samples), **{**given, **fields})


def full_run(scale=1.0, seed=0):
    """All suites, each peer taking ten microseconds times its number."""
    chance = random.Random(seed)
    run = Run(environment=environment.now())
    for suite in SUITES.values():
        for case in suite.cases(2):
            for number, peer in enumerate(suite.peers, 1):
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
