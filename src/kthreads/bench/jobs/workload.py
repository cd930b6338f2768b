"""A job with its data: what every peer of it has in common."""

from __future__ import annotations

import multiprocessing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain, pairwise
from typing import Any, ClassVar

import kthreads
from kthreads.bench.model.peer_names import MissingError
from kthreads.errors import BuildCacheError, CompileError, CompilerNotFoundError

__all__ = ["Operation", "Workload", "package"]

Operation = Callable[[], Any]
"""Does the whole job once, and returns the outcome."""

FLAGS = ("-O3", "-march=native")
PARTS = 8  # of the data for each thread: enough tasks to balance the load, and no more


def package(name: str, title: str) -> Any:
    """An installed package.

    Raises:
        MissingError: it is not installed.
    """
    try:
        return __import__(name)
    except ImportError:
        raise MissingError(f"{title} is not installed") from None


class Workload(ABC):
    """A job with its data. The method ``by_<peer>``, in lower case, returns the operation by which a peer does it.

    The peers that call Python functions share `piece`, which does the job for a part of the data. kthreads and OpenMP share
    `source`.

    Args:
        threads: how many threads or processes each peer has.
        stack: closes the pools of the peers.

    Attributes:
        whole: all of the data, as `piece` takes it.
        parts: the same, cut for many tasks.
        count, arguments: what the functions of `source` are called with.
        out: the array that those functions fill.
    """

    source: ClassVar[str]
    """C: the function ``body``, for a parallel loop of kthreads, and the function ``by_openmp``, which has its own loop."""
    libraries: ClassVar[Sequence[str]] = ()
    flags: ClassVar[Sequence[str]] = ()

    whole: Any
    parts: list[Any]
    count: int
    arguments: tuple[Any, ...]
    out: Any

    def __init__(self, threads: int, stack: ExitStack) -> None:
        self.np = package("numpy", "NumPy, which makes the data of the jobs,")
        self.threads, self.stack = threads, stack
        self.prepare(self.np.random.default_rng(1))

    @abstractmethod
    def prepare(self, chance: Any) -> None:
        """Makes the data, by a generator of random numbers."""

    @staticmethod
    @abstractmethod
    def piece(part: Any) -> Any:
        """Does the job for a part of the data, in Python."""

    @abstractmethod
    def is_right(self, outcome: Any) -> bool:
        """Whether what an operation returned is the outcome of the job."""

    def items(self, outcome: Any) -> Iterable[Any]:
        """The single results of an outcome: those in `out`, or those of all parts."""
        return outcome if outcome is self.out else chain.from_iterable(outcome)

    def filling(self, do: Callable[..., object], *arguments: Any) -> Operation:
        """The operation that calls this, which fills `out`."""

        def run() -> Any:
            do(*arguments)
            return self.out

        return run

    def by_kthreads(self) -> Operation:
        body = self.compiled().body
        return self.filling(self.pool().parallel_for, body, self.count, *self.arguments)

    def by_openmp(self) -> Operation:
        function = self.compiled("-fopenmp").by_openmp
        return self.filling(function, self.count, *self.arguments)

    def by_loop(self) -> Operation:
        return lambda: [self.piece(self.whole)]

    def by_numpy(self) -> Operation:
        return self.by_loop()

    def by_threadpoolexecutor(self) -> Operation:
        executor = self.executor()
        return lambda: list(executor.map(self.piece, self.parts))

    def by_processes(self) -> Operation:
        context = multiprocessing.get_context("forkserver")  # a fork of this process would copy locks that threads hold
        processes = self.stack.enter_context(context.Pool(self.threads))
        return lambda: processes.map(self.piece, self.parts, chunksize=1)

    def by_joblib(self) -> Operation:
        parallel, piece = self.joblib()
        return lambda: parallel(piece(part) for part in self.parts)

    def executor(self) -> ThreadPoolExecutor:
        """An executor that the stack closes."""
        return self.stack.enter_context(ThreadPoolExecutor(self.threads))

    def joblib(self) -> tuple[Any, Any]:
        """joblib's Parallel with threads, which the stack closes, and `piece` as it takes that."""
        joblib = package("joblib", "joblib")
        parallel = self.stack.enter_context(joblib.Parallel(n_jobs=self.threads, backend="threading"))
        return parallel, joblib.delayed(self.piece)

    def numba(self) -> Any:
        """The package numba, whose loops have as many threads as each peer."""
        numba = package("numba", "numba")
        numba.set_num_threads(self.threads)
        return numba

    def pool(self) -> kthreads.Pool:
        """A pool that the stack closes."""
        return self.stack.enter_context(kthreads.Pool(self.threads))

    def compiled(self, *flags: str) -> kthreads.Library:
        """The functions of `source`.

        Raises:
            MissingError: they cannot be compiled here.
        """
        try:
            return kthreads.compile_c(self.source, flags=(*FLAGS, *flags, *self.flags), libraries=self.libraries)
        except (BuildCacheError, CompileError, CompilerNotFoundError) as error:
            raise MissingError(f"the C of the jobs cannot be compiled here: {str(error).splitlines()[0]}") from None

    def cut(self, count: int, parts: int | None = None) -> list[slice]:
        """The numbers of so many items, cut into parts of about one size."""
        parts = max(1, min(count, PARTS * self.threads if parts is None else parts))
        ends = [count * number // parts for number in range(parts + 1)]
        return [slice(begin, end) for begin, end in pairwise(ends)]
