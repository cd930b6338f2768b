"""The executor beside the standard one: `pytest benchmarks/test_executor.py --benchmark-group-by=group`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import ctypes

import pytest

import kthreads

KINDS = [concurrent.futures.ThreadPoolExecutor, kthreads.ThreadPoolExecutor]

pytestmark = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__module__.partition(".")[0])


@pytest.fixture(scope="module")
def absolute():
    """A function of ctypes, which each executor calls in its own way."""
    function = ctypes.CDLL(None).abs
    function.argtypes, function.restype = [ctypes.c_int], ctypes.c_int
    return function


def nothing() -> None:
    pass


@pytest.mark.benchmark(group="submit().result(), native function")
def test_native(benchmark, kind, absolute):
    with kind(2) as executor:
        assert benchmark(lambda: executor.submit(absolute, -3).result()) == 3


@pytest.mark.benchmark(group="submit().result(), Python function")
def test_python(benchmark, kind):
    with kind(2) as executor:
        benchmark(lambda: executor.submit(nothing).result())


@pytest.mark.benchmark(group="map of 1000, native function")
def test_map_native(benchmark, kind, absolute):
    with kind(2) as executor:
        assert benchmark(lambda: sum(executor.map(absolute, range(1000)))) == 499_500


@pytest.mark.benchmark(group="map of 1000, Python function")
def test_map_python(benchmark, kind):
    with kind(2) as executor:
        assert benchmark(lambda: sum(executor.map(abs, range(1000)))) == 499_500


@pytest.mark.benchmark(group="start, one task, shutdown")
def test_life(benchmark, kind):
    def live() -> None:
        with kind(2) as executor:
            executor.submit(nothing).result()

    benchmark(live)


@pytest.mark.benchmark(group="run_in_executor of asyncio, Python function")
def test_asyncio(benchmark, kind):
    async def main() -> None:
        loop = asyncio.get_running_loop()
        for _ in range(100):
            await loop.run_in_executor(executor, nothing)

    with kind(2) as executor:
        benchmark(lambda: asyncio.run(main()))
