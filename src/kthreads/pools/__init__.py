"""Pools of threads: parallel loops, tasks and their futures, and the executor.

May use threads, functions and flags."""

from kthreads.pools.batch import Batch
from kthreads.pools.executor import ThreadPoolExecutor
from kthreads.pools.loop import Loop
from kthreads.pools.pool import Pool
from kthreads.pools.stats import PoolStats, WorkerStats

__all__ = ["Batch", "Loop", "Pool", "PoolStats", "ThreadPoolExecutor", "WorkerStats"]
