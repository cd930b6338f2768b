"""Calls leave nothing behind: no reference, no buffer that is locked, no block of memory."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import sys
from array import array

import numpy as np
import pytest
from free_threading import FREE_THREADED

import kthreads

THINGS = {
    "bytes": bytes(bytearray(b"bytes of its own")),
    "bytearray": bytearray(16),
    "array": np.zeros(16, "u1"),
    "array.array": array("B", bytes(16)),
    "memoryview": memoryview(bytearray(16)),
    "ctypes": (ctypes.c_ubyte * 16)(),
}


@pytest.fixture(params=THINGS)
def thing(request):
    return THINGS[request.param]


@pytest.fixture
def memchr():
    return kthreads.symbol(None, "memchr", "void *(const void *, int, size_t)")


def failing(function, *args):
    with contextlib.suppress(TypeError, OverflowError, ValueError):
        function(*args)


def thread(function, *args):
    made = kthreads.Thread(target=function, args=args, reuse=True)
    made.start()
    made.join()


CALLS = {
    "a call": (20_000, lambda pool, function, thing: function(thing, 1, 4)),
    "a call that is refused": (1_000, lambda pool, function, thing: failing(function, thing, thing, "x")),
    "a call with too few arguments": (1_000, lambda pool, function, thing: failing(function, thing)),
    "bind": (4_000, lambda pool, function, thing: function.bind((thing, 1, 4)).run()),
    "bind and finish": (4_000, lambda pool, function, thing: function.bind((thing, 1, 4)).finish()),
    "submit": (1_000, lambda pool, function, thing: pool.submit(function, thing, 1, 4).result()),
    "submit that is refused": (1_000, lambda pool, function, thing: failing(pool.submit, function, thing, "x", 4)),
    "submit_many": (100, lambda pool, function, thing: pool.submit_many(function, [thing] * 50, 1, [4] * 50).results()),
    "submit_many that is refused": (
        100,
        lambda pool, function, thing: failing(pool.submit_many, function, [thing] * 50, 1, [4] * 49 + ["x"]),
    ),
    "a thread": (100, lambda pool, function, thing: thread(function, thing, 1, 4)),
}


def settle(pool):
    """Waits until all tasks have come back."""
    pool.quiesce()
    gc.collect()


def allocated(pool, function, times):
    """How many more blocks are allocated after so many calls. Calls are made in rounds, as threads of the library may
    allocate something meanwhile; a leak shows in each."""
    least = None
    for _ in range(3):
        settle(pool)
        before = sys.getallocatedblocks()
        for _ in range(times):
            function()
        settle(pool)
        more = sys.getallocatedblocks() - before
        least = more if least is None else min(least, more)
    return least


@pytest.mark.parametrize("name", CALLS)
def test_a_call_leaves_no_reference_and_no_memory(pool, memchr, thing, name):
    times, call = CALLS[name]
    times = times // 10 if FREE_THREADED else times
    for _ in range(20):
        call(pool, memchr, thing)
    settle(pool)
    before = sys.getrefcount(thing)
    blocks = allocated(pool, lambda: call(pool, memchr, thing), times)
    settle(pool)
    assert sys.getrefcount(thing) == before
    if isinstance(thing, bytearray):
        thing.append(0)  # no buffer is locked
        thing.pop()
    assert blocks < times // 4


@pytest.mark.parametrize("out", [False, True])
def test_a_map_leaves_no_reference_and_no_memory(pool, function, out):
    values, results = np.arange(10.0), np.zeros(10)
    minus = function("minus", "double(double, double)")
    options = {"out": results} if out else {}
    pool.map_array(minus, values, values, **options)
    gc.collect()
    before = sys.getrefcount(values), sys.getrefcount(results), sys.getrefcount(values.dtype)
    assert allocated(pool, lambda: pool.map_array(minus, values, values, **options), 5000) < 1000
    assert (sys.getrefcount(values), sys.getrefcount(results)) == before[:2]
    assert abs(sys.getrefcount(values.dtype) - before[2]) < 100


def test_a_loop_leaves_no_reference_and_no_memory(pool, function):
    seen = np.zeros(4, "i8")
    store = function("store_indices", "void(long, long, long, long *)")
    pool.parallel_for(store, 4, 1, seen)
    before = sys.getrefcount(seen)
    assert allocated(pool, lambda: pool.parallel_for(store, 4, 1, seen), 5000) < 1000
    assert allocated(pool, lambda: pool.prepare(store, 4, 1, seen)(), 2000) < 500
    assert sys.getrefcount(seen) == before


def test_slices_and_rows_leave_no_reference_and_no_memory(pool, memchr):
    rows, offsets = np.zeros((64, 4), "u1"), array("i", range(0, 260, 4))
    data = bytes(256)

    def submit():
        slices = kthreads.Slices(data, offsets)
        pool.submit_many(memchr, slices, 1, slices.lengths).array()
        pool.submit_many(memchr, rows, 1, 4).array()

    submit()
    settle(pool)
    before = sys.getrefcount(rows), sys.getrefcount(data), sys.getrefcount(offsets)
    assert allocated(pool, submit, 200) < 50
    settle(pool)
    assert (sys.getrefcount(rows), sys.getrefcount(data), sys.getrefcount(offsets)) == before


def test_the_objects_of_calls_are_seen_by_the_collector():
    """A call that its own argument holds is garbage."""

    class Holder(bytearray):
        pass

    holder = Holder(4)
    holder.call = kthreads.symbol(None, "memchr", "void *(const void *, int, size_t)").bind((holder, 1, 4))
    gc.collect()
    before = len([each for each in gc.get_objects() if type(each) is Holder])
    del holder
    gc.collect()
    assert len([each for each in gc.get_objects() if type(each) is Holder]) == before - 1
