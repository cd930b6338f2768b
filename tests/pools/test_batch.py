"""Batches: many calls of one native function, submitted at once."""

from __future__ import annotations

import concurrent.futures
import contextlib
import resource
import zlib
from itertools import repeat

import numpy as np
import pytest

import kthreads


def test_a_batch_returns_what_each_call_returned(pool, crc32):
    letters = [bytes([n % 256]) for n in range(10_000)]
    batch = pool.submit_many(crc32, repeat(0), letters, repeat(1))
    assert batch.results() == [zlib.crc32(letter) for letter in letters]
    assert batch[9_999].result() == zlib.crc32(letters[-1])
    assert batch.done()


@pytest.mark.parametrize(
    ("signature", "values"),
    [
        ("int(int)", range(-5, 5)),
        ("int(int)", np.arange(10, dtype="i4")),
        ("int(int)", np.arange(20, dtype="i4")[::2]),
        ("unsigned char(unsigned char)", [0, 255]),
        ("bool(bool)", [True, False]),
        ("char(char)", [b"a", b"z"]),
        ("long(long)", (-(2**63), 2**63 - 1)),
    ],
)
def test_columns_are_of_any_kind_of_sequence(pool, function, signature, values):
    batch = pool.submit_many(function("return_it", signature), values)
    assert batch.results() == list(values)


def test_calls_that_return_nothing_or_pointers_make_a_batch(pool, function):
    seen = np.zeros(3, "i8")
    store = function("store_indices", "void(long, long, long, long *)")
    batch = pool.submit_many(store, [0, 1, 2], [1, 2, 3], [1, 1, 1], [seen] * 3)
    assert batch.results() == [None] * 3
    assert seen.tolist() == [0, 1, 2]


def test_the_futures_of_a_batch_are_real_ones(pool, gate):
    batch = pool.submit_many(gate.function, [gate.arrived] * 6, [gate.word] * 6)
    gate.wait_for(2)
    done = []
    batch[5].add_done_callback(lambda future: done.append(future.result()))
    assert batch[5] is batch[-1] is list(batch)[5]
    gate.open()
    assert len(concurrent.futures.wait(batch, timeout=60).done) == 6


def test_a_batch_that_waits_can_be_cancelled(pool, gate):
    batch = pool.submit_many(gate.function, [gate.arrived] * 6, [gate.word] * 6)
    gate.wait_for(2)
    assert batch[5].cancel()
    assert not batch.cancel()
    assert [future.cancelled() for future in batch] == [False, False, True, True, True, True]
    gate.open()
    batch[0].result()
    with pytest.raises(concurrent.futures.CancelledError):
        batch.results()


@pytest.mark.parametrize(
    ("iterables", "error", "message"),
    [
        (([1, 2], [1]), ValueError, "different lengths: 1, 2"),
        (([1, 2], iter([1])), ValueError, "ended after 1 of 2"),
        (([1],), TypeError, "takes 2 iterables of arguments"),
        (([1, 2**40], [1, 1]), OverflowError, "argument 1: 1099511627776 is out of range for int"),
        (([1, 1], [1, "x"]), TypeError, "argument 2: double takes a number"),
    ],
)
def test_bad_columns_say_what_is_wrong(pool, function, iterables, error, message):
    with pytest.raises(error, match=message):
        pool.submit_many(function("scaled", "double(int, double)"), *iterables)


def test_a_bad_argument_of_a_batch_says_in_which_call_it_is(pool, function):
    with pytest.raises(OverflowError) as caught:
        pool.submit_many(function("return_it", "int(int)"), [1, 2, 2**40])
    assert caught.value.__notes__ == ["in call 2 of those that were submitted"]


def test_a_batch_lets_go_of_buffers_when_its_calls_have_ended(pool, crc32):
    data = bytearray(b"abc")
    batch = pool.submit_many(crc32, [0, 0], [data, data], [3, 3])
    batch.results()
    while True:  # until the units have come back
        with contextlib.suppress(BufferError):
            data.append(0)
            break


def test_who_waits_for_a_batch_is_not_woken_for_each_call(pool):
    usleep = kthreads.symbol(None, "usleep", "int(unsigned)")
    batch = pool.submit_many(usleep, [1000] * 200)
    before = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    batch.results()
    assert resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw - before < 50


def test_an_empty_batch_is_done(pool, function):
    batch = pool.submit_many(function("return_it", "int(int)"), [])
    assert (len(batch), batch.results(), batch.done()) == (0, [], True)
