"""The operations of the suites from Python. Each factory, given a number of threads, is a context manager around one."""

from __future__ import annotations

import _thread
import contextlib
import ctypes
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.pool import ThreadPool
from typing import Any

import kthreads
from kthreads._native import ffi, lib
from kthreads.bench.model.peer_names import MissingError
from kthreads.bench.model.suites import LOOP_WORK_NS

Operation = Callable[[], object]
Factory = Callable[[int], "contextlib.AbstractContextManager[Operation]"]


def _address(name: str) -> int:
    return int(ffi.cast("uintptr_t", ffi.addressof(lib, name)))


def _empty() -> kthreads.NativeFunction:
    return kthreads.native(_address("kt_bench_empty"), "void(void)")


def _work() -> kthreads.NativeFunction:
    return kthreads.native(_address("kt_bench_work"), "void(long, long, long)")


def nothing() -> None:
    """An empty function, as kt_bench_empty is one in C."""


def _start(make: Callable[[], threading.Thread]) -> Factory:
    def start_and_join() -> None:
        thread = make()
        thread.start()
        thread.join()

    return lambda threads: contextlib.nullcontext(start_and_join)


@contextmanager
def _start_new_thread(_: int) -> Iterator[Operation]:
    done = _thread.allocate_lock()
    run = lib.kt_bench_empty

    def run_and_signal() -> None:
        run()
        done.release()

    def start_and_join() -> None:
        done.acquire()
        _thread.start_new_thread(run_and_signal, ())
        with done:
            pass

    yield start_and_join


@contextmanager
def _pool_submit(threads: int, function: Any) -> Iterator[Operation]:
    with kthreads.Pool(threads) as pool:
        yield lambda: pool.submit(function).result()


@contextmanager
def _executor_submit(threads: int, kind: Any, function: Any) -> Iterator[Operation]:
    with kind(threads) as executor:
        yield lambda: executor.submit(function).result()


@contextmanager
def _thread_pool_apply(threads: int) -> Iterator[Operation]:
    with ThreadPool(threads) as pool:
        yield lambda: pool.apply(lib.kt_bench_empty)


@contextmanager
def _pool_loop(threads: int, *, prepared: bool) -> Iterator[Operation]:
    work = _work()
    with kthreads.Pool(threads) as pool:
        if prepared:
            yield pool.prepare(work, threads, LOOP_WORK_NS)
        else:
            yield lambda: pool.parallel_for(work, threads, LOOP_WORK_NS)


def _item(number: int) -> None:
    lib.kt_bench_work(number, number + 1, LOOP_WORK_NS)


@contextmanager
def _executor_loop(threads: int) -> Iterator[Operation]:
    with ThreadPoolExecutor(threads) as executor:
        yield lambda: list(executor.map(_item, range(threads)))


@contextmanager
def _thread_pool_loop(threads: int) -> Iterator[Operation]:
    with ThreadPool(threads) as pool:
        yield lambda: pool.map(_item, range(threads), chunksize=1)


@contextmanager
def _joblib_loop(threads: int) -> Iterator[Operation]:
    try:
        import joblib
    except ImportError:
        raise MissingError("joblib is not installed") from None
    with joblib.Parallel(n_jobs=threads, backend="threading") as parallel:
        yield lambda: parallel(joblib.delayed(_item)(number) for number in range(threads))


@contextmanager
def _numba_loop(threads: int) -> Iterator[Operation]:
    try:
        import numba
    except ImportError:
        raise MissingError("numba is not installed") from None
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
    work, ns = prototype(_address("kt_bench_work")), LOOP_WORK_NS

    @numba.njit(parallel=True, nogil=True)  # type: ignore[untyped-decorator,unused-ignore]
    def loop(count: int) -> None:
        for number in numba.prange(count):
            work(number, number + 1, ns)

    numba.set_num_threads(min(threads, numba.config.NUMBA_NUM_THREADS))
    yield lambda: loop(threads)


OPERATIONS: dict[str, dict[str, Factory]] = {
    "py-start": {
        "kthreads": _start(lambda: kthreads.Thread(target=_empty())),
        "kthreads-reuse": _start(lambda: kthreads.Thread(target=_empty(), reuse=True)),
        "kthreads-python": _start(lambda: kthreads.Thread(target=nothing)),
        "threading": _start(lambda: threading.Thread(target=lib.kt_bench_empty)),
        "_thread": _start_new_thread,
    },
    "py-submit": {
        "kthreads": lambda threads: _pool_submit(threads, _empty()),
        "kthreads-python": lambda threads: _pool_submit(threads, nothing),
        "kthreads-executor": lambda threads: _executor_submit(threads, kthreads.ThreadPoolExecutor, _empty()),
        "ThreadPoolExecutor": lambda threads: _executor_submit(threads, ThreadPoolExecutor, lib.kt_bench_empty),
        "ThreadPool": _thread_pool_apply,
    },
    "py-loop": {
        "kthreads": lambda threads: _pool_loop(threads, prepared=False),
        "kthreads-prepared": lambda threads: _pool_loop(threads, prepared=True),
        "ThreadPoolExecutor": _executor_loop,
        "ThreadPool": _thread_pool_loop,
        "joblib": _joblib_loop,
        "numba": _numba_loop,
    },
}
