"""The names of peers: which of them are kthreads', and what people call them."""

from __future__ import annotations

OURS = {
    "clone",
    "clone3",
    "reuse",
    "kthreads",
    "kthreads-reuse",
    "kthreads-python",
    "kthreads-executor",
    "kthreads-prepared",
}

NAMES: dict[str, str] = {
    "clone": "kthreads, clone",
    "clone3": "kthreads, clone3",
    "reuse": "kthreads, parked",
    "pthread": "pthread_create",
    "pthread-default": "pthread_create, 8 MiB stack",
    "pthread-fresh": "pthread_create, fresh stack",
    "thrd": "C11 thrd_create",
    "std-thread": "C++ std::thread",
    "bare": "bare clone, no libc",
    "bare3": "bare clone3, no libc",
    "vfork-exec": "vfork and exec",
    "kthreads": "kthreads",
    "kthreads-reuse": "kthreads, parked",
    "kthreads-python": "kthreads, Python function",
    "kthreads-executor": "kthreads.ThreadPoolExecutor",
    "kthreads-prepared": "kthreads, prepared",
    "tbb": "oneTBB",
    "libomp": "libomp (LLVM)",
    "libgomp": "libgomp (GCC)",
    "condvar": "mutex and condition variable",
    "threading": "threading.Thread",
    "_thread": "_thread.start_new_thread",
    "ThreadPoolExecutor": "concurrent.futures",
    "ThreadPool": "multiprocessing.pool.ThreadPool",
    "joblib": "joblib, threading",
    "numba": "numba prange",
    "loop": "a loop on one thread",
    "numpy": "NumPy, one thread",
    "scipy": "SciPy, one thread",
    "processes": "multiprocessing.Pool",
    "openmp": "C with OpenMP",
}


class MissingError(Exception):
    """What a peer needs is not installed."""


def name_of(peer: str) -> str:
    """A peer's name for people."""
    return NAMES.get(peer, peer)
