"""map_array beside its peers: `pytest benchmarks/test_maparray.py --benchmark-group-by=group`.

Each notes nanoseconds an element as `extra_info` ("ns_each") in --benchmark-json, from its shortest round.
"""

from __future__ import annotations

import math
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import kthreads

FUNCTIONS = Path(__file__).parents[1] / "tests" / "native_functions.c"
LOOP = """
void loop(double (*function)(double), const double *in, double *out, long count)
{
    for (long i = 0; i < count; i++) {
        out[i] = function(in[i]);
    }
}
"""
COUNT = 1_000_000
SIN = kthreads.symbol("libm.so.6", "sin", "double(double)")


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    folder = tmp_path_factory.mktemp("native")
    (folder / "loop.c").write_text(LOOP)
    library = folder / "native.so"
    sources = [FUNCTIONS, folder / "loop.c"]
    subprocess.run([shutil.which("cc"), "-O2", "-shared", "-fPIC", "-pthread", "-o", library, *sources], check=True)
    return library


@pytest.fixture(scope="module")
def pools():
    with kthreads.Pool(1) as one, kthreads.Pool() as all_cpus:
        yield {"one thread": one, "all CPUs": all_cpus}


@pytest.fixture(params=["sin", "an empty function"])
def function(request, library, benchmark):
    benchmark.group = f"{request.param} over {COUNT} doubles"
    return SIN if request.param == "sin" else kthreads.symbol(library, "same_double", "double(double)")


def run(benchmark, operation) -> None:
    benchmark(operation)
    if benchmark.stats is not None:  # not with --benchmark-disable
        benchmark.extra_info["ns_each"] = benchmark.stats.stats.min / COUNT * 1e9


@pytest.mark.parametrize("threads", ["one thread", "all CPUs"])
@pytest.mark.parametrize("step", [1, 2], ids=["contiguous", "every second"])
def test_map_array(benchmark, function, pools, threads, step):
    values, out = np.linspace(0, 1, COUNT * step)[::step], np.empty(COUNT)
    run(benchmark, lambda: pools[threads].map_array(function, values, out=out))


def test_a_loop_in_c(benchmark, function, library):
    values, out = np.linspace(0, 1, COUNT), np.empty(COUNT)
    loop = kthreads.symbol(library, "loop", "void(double (*)(double), const double *, double *, long)")
    run(benchmark, lambda: loop(function, values, out, COUNT))


def test_numpy_vectorize(benchmark, function):
    values = np.linspace(0, 1, COUNT)
    vectorized = np.vectorize(math.sin if function is SIN else lambda x: x, otypes="d")
    run(benchmark, lambda: vectorized(values))


def test_a_ufunc_of_numpy(benchmark, function):
    values, out = np.linspace(0, 1, COUNT), np.empty(COUNT)
    ufunc = np.sin if function is SIN else np.positive
    run(benchmark, lambda: ufunc(values, out=out))


@pytest.mark.parametrize("target", ["cpu", "parallel"])
def test_numba_vectorize(benchmark, function, target):
    numba = pytest.importorskip("numba")
    values, out = np.linspace(0, 1, COUNT), np.empty(COUNT)
    python = (lambda x: math.sin(x)) if function is SIN else (lambda x: x)  # noqa: PLW0108
    ufunc = numba.vectorize(["float64(float64)"], target=target)(python)
    run(benchmark, lambda: ufunc(values, out=out))


@pytest.mark.benchmark(group="ten doubles")
def test_the_cost_of_a_small_map(benchmark, pools):
    values, out = np.linspace(0, 1, 10), np.empty(10)
    benchmark(lambda: pools["one thread"].map_array(SIN, values, out=out))
