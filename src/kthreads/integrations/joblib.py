"""A backend for joblib: ``joblib.Parallel`` on kernel threads.

After `register`, ``with joblib.parallel_config(backend="kthreads")`` uses it. The contract is that of ParallelBackendBase in
joblib/_parallel_backends.py (joblib 1.5 and 1.6).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from joblib.parallel import ParallelBackendBase, register_parallel_backend

from kthreads.functions.sources import is_native, native
from kthreads.limits import default_workers
from kthreads.pools.native_task import NativeFuture
from kthreads.pools.pool import Pool

__all__ = ["KThreadsBackend", "register"]

_QUIESCE_TIMEOUT = 0.001  # seconds: idle threads need no longer to end; a later call tries again

aborted_pools: set[Pool] = set()
"""Pools whose tasks were aborted and may still run. They are kept until these have ended: to drop such a pool would wait."""


def register(*, make_default: bool = False) -> None:
    """Makes ``backend="kthreads"`` known to joblib.

    Args:
        make_default: whether each Parallel that names no backend uses this one.
    """
    register_parallel_backend("kthreads", KThreadsBackend, make_default=make_default)


class KThreadsBackend(ParallelBackendBase):
    """Runs the calls of a Parallel as tasks of a `Pool`, which lasts as long as the Parallel, or as its with block.

    Native functions in ``delayed(function)(…)`` run without the GIL. Where each call is a batch, as is joblib's default, its
    arguments are converted when it is dispatched, and its worker never takes the GIL. ``n_jobs=-1`` means
    `kthreads.limits.default_workers`. A Parallel within a task gets a pool of its own; a Parallel within that one runs
    sequentially. After an exception or a timeout, calls that have not begun are cancelled, and those that run are not
    waited for.

    Args:
        pool_options: further arguments of `Pool`, such as ``cpus`` and ``nice``, given to ``parallel_config``.
    """

    supports_retrieve_callback = True
    supports_sharedmem = True
    uses_threads = True

    def __init__(self, nesting_level: int | None = None, **pool_options: Any) -> None:
        super().__init__(nesting_level=nesting_level, **pool_options)
        self._workers = 1
        self._pool: Pool | None = None

    def effective_n_jobs(self, n_jobs: int | None) -> int:
        """How many calls run at once.

        Raises:
            ValueError: `n_jobs` is 0.
        """
        if n_jobs == 0:
            raise ValueError("n_jobs == 0 in Parallel has no meaning")
        if n_jobs is None:
            return 1
        return n_jobs if n_jobs > 0 else max(1, default_workers() + 1 + n_jobs)

    def configure(self, n_jobs: int | None = 1, parallel: Any = None, **_: Any) -> int:
        self.parallel = parallel
        self._workers = self.effective_n_jobs(n_jobs)
        return self._workers

    def submit(self, func: Any, callback: Callable[[Future[Any]], None] | None = None) -> Future[Any]:
        """Starts a batch of calls. An error in their arguments becomes the exception of the future: joblib calls this from
        callbacks, too, where a raised exception would be lost."""
        try:
            future = self._submit(func)
        except Exception as error:
            future = Future()
            future.set_exception(error)
        if callback is not None:
            future.add_done_callback(callback)
        return future

    def _submit(self, batch: Any) -> Future[Any]:
        if self._pool is None:
            _drop_ended_pools()
            self._pool = Pool(self._workers, **{"name": "joblib", **self.backend_kwargs})
        batch.items = [(native(fn) if is_native(fn) else fn, args, kwargs) for fn, args, kwargs in batch.items]
        fn, args, kwargs = batch.items[0]
        if len(batch.items) == 1 and is_native(fn):
            return self._pool.submit(fn, *args, **kwargs)
        return self._pool.submit(batch)

    def retrieve_result_callback(self, out: Future[Any]) -> list[Any]:
        """The results of a batch."""
        return [out.result()] if isinstance(out, NativeFuture) else out.result()

    def terminate(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()

    def abort_everything(self, ensure_ready: bool = True) -> None:
        """Cancels the calls that have not begun. The next batch makes a new pool."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
            aborted_pools.add(pool)
            _drop_ended_pools()

    def get_nested_backend(self) -> tuple[Any, int | None]:
        level = (self.nesting_level or 0) + 1
        if level > 1:
            found: tuple[Any, int | None] = super().get_nested_backend()
            return found
        return type(self)(nesting_level=level, **self.backend_kwargs), None


def _drop_ended_pools() -> None:
    """Drops the aborted pools whose last call has ended."""
    for pool in aborted_pools.copy():
        try:
            pool.quiesce(timeout=_QUIESCE_TIMEOUT)
        except TimeoutError:
            continue
        aborted_pools.discard(pool)
