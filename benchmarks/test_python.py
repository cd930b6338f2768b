"""Python-level operations beside their peers, a group each: `pytest benchmarks --benchmark-group-by=group`.

The operations are those of the Python suites of `kthreads bench`, which compares them more strictly; this is for a look
while one works on them, and for the options of pytest-benchmark (--benchmark-compare, --benchmark-histogram).
"""

from __future__ import annotations

import ctypes

import pytest

import kthreads
from kthreads._native import ffi, lib
from kthreads.bench.measure.operations import OPERATIONS, MissingError
from kthreads.bench.model.suites import SUITES


@pytest.fixture
def empty():
    return kthreads.native(int(ffi.cast("uintptr_t", ffi.addressof(lib, "kt_bench_empty"))), "void(void)")


@pytest.mark.parametrize(("suite", "peer"), [(suite, peer) for suite in OPERATIONS for peer in OPERATIONS[suite]])
def test_operation(benchmark, suite, peer):
    benchmark.group = SUITES[suite].title
    try:
        with OPERATIONS[suite][peer](kthreads.cpu_count()) as operation:
            benchmark(operation)
    except MissingError as error:
        pytest.skip(str(error))


@pytest.mark.benchmark(group="Call of an empty native function")
@pytest.mark.parametrize("caller", ["kthreads", "cffi", "ctypes"])
def test_call(benchmark, empty, caller):
    prototype = ctypes.CFUNCTYPE(None)
    by_ctypes = prototype(int(ffi.cast("uintptr_t", ffi.addressof(lib, "kt_bench_empty"))))
    benchmark({"kthreads": empty, "cffi": lib.kt_bench_empty, "ctypes": by_ctypes}[caller])


@pytest.mark.benchmark(group="Start of 100 threads, and the wait for them")
@pytest.mark.parametrize(
    "wait", [kthreads.wait, lambda threads: [thread.join() for thread in threads]], ids=["wait", "join"]
)
def test_many(benchmark, empty, wait):
    def run() -> None:
        threads = [kthreads.Thread(target=empty) for _ in range(100)]
        for thread in threads:
            thread.start()
        wait(threads)

    benchmark(run)
