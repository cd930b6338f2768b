"""Which workload each case of the suite is."""

from __future__ import annotations

from contextlib import ExitStack

from kthreads.bench.jobs.checksums import Checksums
from kthreads.bench.jobs.compression import BlockCompression, ZstdCompression
from kthreads.bench.jobs.hashes import SmallHashes
from kthreads.bench.jobs.monte_carlo import MonteCarlo
from kthreads.bench.jobs.products import SmallProducts
from kthreads.bench.jobs.search import Search
from kthreads.bench.jobs.special import SpecialFunction
from kthreads.bench.jobs.stencil import Stencil
from kthreads.bench.jobs.workload import Operation, Workload

__all__ = ["WORKLOADS", "WrongOutcomeError", "operation"]

WORKLOADS: dict[str, type[Workload]] = {
    "small hashes": SmallHashes,
    "compression of blocks": BlockCompression,
    "checksums": Checksums,
    "search for a pattern": Search,
    "special function": SpecialFunction,
    "stencil": Stencil,
    "Monte Carlo": MonteCarlo,
    "small matrix products": SmallProducts,
    "compression by zstd": ZstdCompression,
}


class WrongOutcomeError(Exception):
    """A peer's outcome is not that of the job."""


def operation(job: str, peer: str, threads: int, stack: ExitStack) -> Operation:
    """What a peer does for a job; its first outcome has been checked. `stack` closes what it uses.

    Raises:
        MissingError: the peer, or a library of the job, is not installed.
        WrongOutcomeError: the outcome is wrong.
    """
    workload = WORKLOADS[job](threads, stack)
    found: Operation = getattr(workload, f"by_{peer.lower()}")()
    if not workload.is_right(found()):
        raise WrongOutcomeError("its outcome is wrong")
    return found
