"""Timeouts of all waits: without end, beyond all clocks, and what is no number."""

from __future__ import annotations

import math
import threading

import pytest

import kthreads
from kthreads import deadline


@pytest.fixture
def minus(function):
    return function("minus", "double(double, double)")


def ended(minus, pool):
    """Each wait of the library, on what ends soon."""
    thread = kthreads.Thread(target=minus, args=(1, 2))
    thread.start()
    yield thread.join
    yield lambda timeout: kthreads.wait([thread], timeout)
    yield pool.submit(minus, 1, 2).result
    yield pool.submit(minus, 1, 2).exception
    yield pool.submit(abs, 1).result
    yield pool.submit(abs, 1).exception
    yield lambda timeout: pool.parallel_for(lambda begin, end: None, 3, timeout=timeout)
    yield pool.prepare(lambda begin, end: None, 3)
    yield pool.quiesce
    yield lambda timeout: pool.resize(2, timeout)
    process = kthreads.Process(["true"])
    yield process.wait
    yield lambda timeout: process.communicate(timeout=timeout)


@pytest.mark.parametrize("timeout", [None, math.inf, 1e7, 1e300, 10**400, 60, 60.5])
def test_every_wait_takes_a_long_timeout(minus, pool, timeout):
    for wait in ended(minus, pool):
        wait(timeout)


@pytest.mark.parametrize(("timeout", "error"), [(math.nan, ValueError), ("1", TypeError), ([], TypeError)])
def test_every_wait_says_what_is_no_timeout(gate, pool, timeout, error):
    thread = gate.thread()
    thread.start()
    futures = [pool.submit(*gate.call), pool.submit(*gate.call), pool.submit(abs, 1)]
    waits = [
        thread.join,
        lambda timeout: kthreads.wait([thread], timeout),
        *(future.result for future in futures),
        *(future.exception for future in futures),
        lambda timeout: pool.parallel_for(lambda begin, end: None, 3, timeout=timeout),
        pool.prepare(lambda begin, end: None, 3),
        pool.quiesce,
        lambda timeout: pool.resize(2, timeout),
    ]
    try:
        for wait in waits:
            with pytest.raises(error, match="timeout must be a number of seconds"):
                wait(timeout)
    finally:
        gate.open()
        thread.join()


@pytest.mark.parametrize("timeout", [0, -1, -math.inf, -(10**400), 0.0])
def test_no_time_is_no_wait(gate, timeout):
    thread = gate.thread()
    thread.start()
    thread.join(timeout)
    assert thread.is_alive()
    assert kthreads.wait([thread], timeout).done == set()
    with kthreads.Pool(1) as pool:
        with pytest.raises(TimeoutError):
            pool.submit(*gate.call).result(timeout)
        gate.open()
    thread.join()


def test_the_main_thread_waits_in_slices_and_others_do_not():
    limit = deadline.after(1000)
    assert deadline.slice_ns(limit) == deadline.slice_ns(None) == deadline.SLICE_NS
    assert 0 < deadline.slice_ns(deadline.after(0.001)) <= 1_000_000
    found = []
    thread = threading.Thread(target=lambda: found.extend([deadline.slice_ns(None), deadline.slice_ns(limit)]))
    thread.start()
    thread.join()
    assert found[0] == deadline.FOREVER_NS
    assert found[1] > 900e9
