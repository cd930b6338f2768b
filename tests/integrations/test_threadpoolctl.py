"""Pools of kernel threads under threadpoolctl."""

from __future__ import annotations

import threading

import pytest

import kthreads

threadpoolctl = pytest.importorskip(
    "threadpoolctl", reason="threadpoolctl is not installed: pip install 'kthreads[threadpoolctl]'"
)

from threadpoolctl import threadpool_info, threadpool_limits  # noqa: E402

from kthreads import _native  # noqa: E402
from kthreads.integrations.threadpoolctl import register  # noqa: E402


@pytest.fixture(autouse=True)
def registered():
    register()
    register()
    kthreads.limits.set_default_workers(2)
    yield
    kthreads.limits.set_default_workers(None)


def ours():
    return [each for each in threadpool_info() if each["user_api"] == "kthreads"]


def test_the_info_tells_what_there_is_once():
    with kthreads.Pool(3), kthreads.Pool(1):
        (info,) = ours()
    assert info["internal_api"] == "kthreads"
    assert info["num_threads"] == 3
    assert sorted(info["pools"])[-2:] == [1, 3]
    assert info["version"] == kthreads.__version__
    assert info["filepath"] == _native.__file__


def test_without_pools_the_number_is_that_of_the_next():
    with kthreads.Pool(3):
        pass
    assert ours()[0]["num_threads"] == 2


def test_when_a_limit_has_ended_nothing_of_it_is_left():
    with threadpool_limits(limits=1):
        pass
    kthreads.limits.set_default_workers(5)
    assert kthreads.limits.default_workers() == 5


def test_a_library_of_the_same_file_name_is_not_taken_for_ours(tmp_path):
    import ctypes
    import subprocess

    other = tmp_path / "_native.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", "-", "-o", other], input=b"int other;", check=True)
    ctypes.CDLL(str(other))
    assert len(ours()) == 1


@pytest.mark.parametrize("user_api", [None, "kthreads"])
def test_a_limit_holds_for_pools_that_are_there_and_for_those_to_come_and_ends(user_api):
    with kthreads.Pool(3) as pool, kthreads.Pool(1) as small:
        with threadpool_limits(limits=1, user_api=user_api):
            assert (pool.workers, small.workers, kthreads.limits.default_workers()) == (1, 1, 1)
            assert ours()[0]["num_threads"] == 1
            with kthreads.Pool() as new:
                assert new.workers == 1
        assert (pool.workers, small.workers, kthreads.limits.default_workers()) == (3, 1, 2)


def test_a_limit_by_name_holds():
    with threadpool_limits(limits={"kthreads": 1}):
        assert kthreads.limits.default_workers() == 1
    assert kthreads.limits.default_workers() == 2


def test_a_limit_of_other_libraries_is_none_of_ours():
    with kthreads.Pool(3) as pool, threadpool_limits(limits=1, user_api="blas"):
        assert pool.workers == 3


def test_a_limit_makes_no_pool_larger():
    with kthreads.Pool(3) as pool, threadpool_limits(limits=100):
        assert (pool.workers, kthreads.limits.default_workers()) == (3, 2)


def test_limits_nest():
    with kthreads.Pool(4) as pool, threadpool_limits(limits=2):
        with threadpool_limits(limits=1):
            assert pool.workers == 1
        assert pool.workers == 2
    assert kthreads.limits.default_workers() == 2


def test_a_pool_that_its_owner_resizes_meanwhile_has_its_new_size_for_its_own():
    with kthreads.Pool(4) as pool:
        with threadpool_limits(limits=1):
            pool.resize(3)
        assert pool.workers == 3


def test_a_pool_at_work_keeps_its_workers_and_nobody_waits_for_it():
    def limit():
        with threadpool_limits(limits=1):
            return pool.workers

    begun, release = threading.Event(), threading.Event()
    with kthreads.Pool(2) as pool:
        assert pool.submit(limit).result(timeout=30) == 2
        pool.submit(lambda: (begun.set(), release.wait()))
        assert begun.wait(30)
        with threadpool_limits(limits=1):
            assert pool.workers == 2
            release.set()
        assert pool.workers == 2


def test_a_loop_under_a_limit_runs_on_its_caller_alone():
    seen = set()
    with kthreads.Pool(2) as pool, threadpool_limits(limits=1):
        pool.parallel_for(lambda begin, end: seen.add(threading.get_ident()), 100, grain=1)
    assert seen == {threading.get_ident()}


def test_a_limit_of_more_than_a_pool_may_have_is_none():
    with threadpool_limits(100_000, user_api="kthreads"):
        assert kthreads.limits.default_workers() == 2
