"""A controller for threadpoolctl: `threadpool_info` shows the pools of kernel threads, `threadpool_limits` limits them.

threadpoolctl looks for the libraries that it controls among the shared libraries that are loaded, first by the beginning of
the file's name and then by a symbol (LibController in threadpoolctl.py, 3.5 to 3.8). For kthreads that is the extension
module, which exports a symbol for this.
"""

from __future__ import annotations

import weakref

import threadpoolctl

import kthreads
from kthreads import limits
from kthreads._native import lib
from kthreads.errors import ThreadStateError
from kthreads.pools.pool import Pool, open_pools

__all__ = ["KThreadsController", "register"]

_RESIZE_TIMEOUT = 1.0  # seconds: the threads of a pool without work end sooner, also on a busy machine

_registered = False
_limited: weakref.WeakKeyDictionary[Pool, tuple[int, int]] = (
    weakref.WeakKeyDictionary()
)  # workers without a limit, and with it


def register() -> None:
    """Makes the pools of kernel threads known to threadpoolctl. A second call has no effect."""
    global _registered
    if not _registered:
        threadpoolctl.register(KThreadsController)
        _registered = True


class KThreadsController(threadpoolctl.LibController):
    """The pools of this process, as one library with ``user_api="kthreads"``.

    Its number of threads is the largest number of workers that a pool has, or that the next pool would get. A limit holds
    for the pools that exist, and for those that are made while it lasts without a number of workers. A pool that is still
    at work after a second keeps its workers: the caller may be one of its tasks, and would wait for itself. No pool gets
    more workers than it has without the limit.
    """

    user_api = internal_api = "kthreads"
    filename_prefixes = ("_native.",)
    check_symbols = ("kthreads_native",)

    def set_additional_attributes(self) -> None:
        """Adds to what `threadpool_info` tells: `pools`, the workers of each."""
        self.pools = [pool.workers for pool in open_pools()]

    def get_num_threads(self) -> int:
        return max([limits.default_workers(), *(pool.workers for pool in open_pools())])

    def set_num_threads(self, num_threads: int) -> None:
        limits.limit_default_workers(min(num_threads, lib.KT_POOL_WORKERS_MAX))  # more is no limit
        for pool in open_pools():
            _limit(pool, num_threads)

    def get_version(self) -> str:
        return kthreads.__version__


def _limit(pool: Pool, most: int) -> None:
    own, limited_to = _limited.get(pool, (pool.workers, pool.workers))
    if pool.workers != limited_to:  # its owner has resized it since
        own = pool.workers
    workers = min(own, most)
    try:
        if workers != pool.workers:
            pool.resize(workers, timeout=_RESIZE_TIMEOUT)
    except (ThreadStateError, TimeoutError):
        return
    if workers < own:
        _limited[pool] = own, workers
    else:
        _limited.pop(pool, None)
