"""Pools of threads: parallel loops, tasks and their futures, and the executor.

May use threads, functions and flags."""

import concurrent.futures.thread  # noqa: F401 (before our own hook: the one that comes last is called first)

from kthreads import lifecycle
from kthreads.pools.batch import Batch
from kthreads.pools.executor import ThreadPoolExecutor
from kthreads.pools.loop import Loop
from kthreads.pools.pool import Pool
from kthreads.pools.stats import PoolStats, WorkerStats
from kthreads.threads import threading_hooks

__all__ = ["Batch", "Loop", "Pool", "PoolStats", "ThreadPoolExecutor", "WorkerStats"]

threading_hooks.at_shutdown(lifecycle.as_the_interpreter_begins_to_end.run)
