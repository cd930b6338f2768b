"""Kernel threads on the workers of a dask.distributed cluster.

A native function of `kthreads.symbol` can be a dask task: it is pickled as library, name, signature and build-id, and its call
releases the GIL. `KThreadsPlugin` gives each dask worker a `Pool` besides, as an executor named "kthreads".
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from distributed import Worker, WorkerPlugin, get_worker

from kthreads.errors import ThreadStateError
from kthreads.pools.pool import Pool

__all__ = ["KThreadPoolExecutor", "KThreadsPlugin", "worker_pool"]


class KThreadPoolExecutor(Executor):
    """A pool with the interface of an executor. dask lets a task find its worker only where the name of the executor's class
    ends in ThreadPoolExecutor (Worker.execute in distributed/worker.py)."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """As `Pool.submit`."""
        return self.pool.submit(fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As `Pool.shutdown`."""
        self.pool.shutdown(wait, cancel_futures=cancel_futures)


class KThreadsPlugin(WorkerPlugin):
    """A worker plugin of dask: gives each dask worker a pool of kernel threads, which runs the tasks that ask for it.

    Register it with ``client.register_plugin``, and submit within ``dask.annotate(executor="kthreads")``. dask decides how many
    tasks run at once, by the worker's number of threads; loops of tasks use all of the pool (see `worker_pool`).

    Args:
        executor: the name by which tasks ask for the pool; "default" to run all tasks that name no executor. The tasks
            cannot call ``distributed.secede`` or ``worker_client``, which work with dask's own executor only.
        workers: the number of the pool's workers; when None, as many as the dask worker has threads.
        pool_options: further arguments of `Pool`.

    Attributes:
        pool: the pool of this dask worker; None in other processes.
    """

    name = "kthreads"

    def __init__(self, executor: str = "kthreads", *, workers: int | None = None, **pool_options: Any) -> None:
        self.executor = executor
        self.workers = workers
        self.pool_options = pool_options
        self.pool: Pool | None = None
        self._before: Any = None

    def setup(self, worker: Worker) -> None:
        """dask calls this on each worker."""
        workers = self.workers or worker.state.nthreads
        self.pool = Pool(workers, **{"name": "dask", **self.pool_options})
        self._before = worker.executors.get(self.executor)
        worker.executors[self.executor] = KThreadPoolExecutor(self.pool)

    def teardown(self, worker: Worker) -> None:
        """dask calls this when the worker ends or the plugin is unregistered. It does not wait for tasks that run."""
        worker.executors.pop(self.executor, None)
        if self._before is not None:
            worker.executors[self.executor] = self._before
        if self.pool is not None:
            self.pool.shutdown(wait=False)


def worker_pool() -> Pool:
    """The pool of the dask worker that runs the calling task, for parallel loops.

    Raises:
        ThreadStateError: the worker has no `KThreadsPlugin`.
        ValueError: the caller is not a dask task.
    """
    for plugin in get_worker().plugins.values():
        if isinstance(plugin, KThreadsPlugin) and plugin.pool is not None:
            return plugin.pool
    raise ThreadStateError("this dask worker has no pool: call client.register_plugin(KThreadsPlugin()) first")
