"""Python-level operations beside their peers: `pytest benchmarks --benchmark-group-by=group`."""

from __future__ import annotations

import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import kthreads

FUNCTIONS = Path(__file__).parents[1] / "tests" / "native_functions.c"


@pytest.fixture(scope="module")
def empty_native(tmp_path_factory):
    library = tmp_path_factory.mktemp("native") / "native.so"
    subprocess.run([shutil.which("cc"), "-O1", "-shared", "-fPIC", "-pthread", "-o", library, FUNCTIONS], check=True)
    return kthreads.symbol(library, "nothing", "void(void)")


def empty() -> None:
    pass


def start_and_join(make) -> None:
    thread = make()
    thread.start()
    thread.join()


@pytest.mark.benchmark(group="start and join, native function")
@pytest.mark.parametrize("options", [{}, {"backend": "clone3"}, {"backend": "pthread"}, {"reuse": True}], ids=str)
def test_native(benchmark, empty_native, options):
    benchmark(start_and_join, lambda: kthreads.Thread(empty_native, **options))


@pytest.mark.benchmark(group="start and join, native function")
def test_native_of_threading(benchmark, empty_native):
    benchmark(start_and_join, lambda: threading.Thread(target=empty_native))


@pytest.mark.benchmark(group="start and join, Python function")
@pytest.mark.parametrize("kind", [threading.Thread, kthreads.Thread], ids=lambda kind: kind.__module__)
def test_python(benchmark, kind):
    benchmark(start_and_join, lambda: kind(target=empty))


@pytest.mark.benchmark(group="call of a native function")
def test_call(benchmark, empty_native):
    benchmark(empty_native)


@pytest.mark.benchmark(group="start and join, native function")
def test_executor_of_the_standard_library(benchmark, empty_native):
    with ThreadPoolExecutor(1) as executor:
        benchmark(lambda: executor.submit(empty_native).result())


@pytest.mark.benchmark(group="join of 100 threads")
@pytest.mark.parametrize(
    "wait", [kthreads.wait, lambda threads: [thread.join() for thread in threads]], ids=["wait", "join"]
)
def test_many(benchmark, empty_native, wait):
    def run() -> None:
        threads = [kthreads.Thread(empty_native) for _ in range(100)]
        for thread in threads:
            thread.start()
        wait(threads)

    benchmark(run)
