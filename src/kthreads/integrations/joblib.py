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

_PATIENCE = 0.001  # seconds: what idle threads need to end; it is tried again

_leaving: list[Pool] = []  # after an abort: to drop a pool waits a while for what runs


def register(*, make_default: bool = False) -> None:
    """Makes ``backend="kthreads"`` known to joblib.

    Args:
        make_default: whether it is to be the backend of each Parallel that names none.
    """
    register_parallel_backend("kthreads", KThreadsBackend, make_default=make_default)


class KThreadsBackend(ParallelBackendBase):
    """The calls of one Parallel as tasks of a `Pool` of its own, or of its with block.

    Native functions in ``delayed(function)(…)`` run without the GIL. Where a call is a batch of its own, as with joblib's
    default, its arguments are converted as it is dispatched, and its worker does not take the GIL at all. ``n_jobs=-1`` means
    `kthreads.limits.default_workers` of them. A Parallel within a task gets a pool of its own, one within that runs sequentially.
    After an exception or a timeout the calls that have not begun are not made; those that run are not waited for.

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
            ValueError: it is 0.
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
        """Starts a batch of calls. What is wrong with their arguments becomes the future's exception, as joblib calls this
        from callbacks, too, in which exceptions would be lost."""
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
            _let_go()
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
        """Cancels what has not begun. The next batch makes a new pool."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown(wait=False, cancel_futures=True)
            _leaving.append(pool)
            _let_go()

    def get_nested_backend(self) -> tuple[Any, int | None]:
        level = (self.nesting_level or 0) + 1
        if level > 1:
            found: tuple[Any, int | None] = super().get_nested_backend()
            return found
        return type(self)(nesting_level=level, **self.backend_kwargs), None


def _let_go() -> None:
    """Frees the pools whose last call has ended."""
    for pool in list(_leaving):
        try:
            pool.quiesce(timeout=_PATIENCE)
        except TimeoutError:
            continue
        _leaving.remove(pool)
