"""numba cfuncs as bodies of loops and as tasks."""

from __future__ import annotations

import pytest

import kthreads

numba = pytest.importorskip("numba", reason="numba is not installed: pip install 'kthreads[numba]'")

import numpy as np  # noqa: E402


@pytest.fixture(scope="module")
def double_up():
    @numba.cfunc("int32(intp, intp, CPointer(float64), float64)")
    def double_up(begin, end, values, limit):
        for i in range(begin, end):
            if values[i] > limit:
                return 3
            values[i] *= 2
        return 0

    return double_up


@pytest.fixture
def pool():
    with kthreads.Pool(2) as pool:
        yield pool


def test_a_cfunc_is_the_body_of_a_loop(pool, double_up):
    values = np.arange(10_000.0)
    pool.parallel_for(double_up, values.size, values, 1e9)
    assert np.array_equal(values, 2 * np.arange(10_000.0))


def test_a_cfunc_that_returns_an_integer_can_fail(pool, double_up):
    values = np.arange(100.0)
    with pytest.raises(kthreads.NativeError) as caught:
        pool.parallel_for(double_up, values.size, values, 50.0, grain=10, schedule="dynamic")
    assert caught.value.code == 3
    assert caught.value.begin >= 50


def test_a_cfunc_is_a_task(pool, double_up):
    values = np.ones(4)
    assert pool.submit(double_up, 0, 4, values, 1e9).result() == 0
    assert values.tolist() == [2.0] * 4


def test_an_array_of_another_type_is_refused(pool, double_up):
    with pytest.raises(TypeError, match="argument 3"):
        pool.parallel_for(double_up, 4, np.ones(4, "f4"), 1e9)


def test_a_signature_tells_numba_what_is_const(pool, double_up):
    values = np.ones(4)
    values.flags.writeable = False
    with pytest.raises(TypeError, match="argument 3"):
        pool.parallel_for(double_up, 4, values, 0.5)
    stated = kthreads.native(double_up, "int(long, long, const double *, double)")
    with pytest.raises(kthreads.NativeError):
        pool.parallel_for(stated, 4, values, 0.5)
