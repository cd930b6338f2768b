"""Loops: rows that are too few, and one loop run by many."""

from __future__ import annotations

import itertools
import os
import re
import signal
import sys
import threading
import time

import numpy as np
import pytest
from at_once import run_at_once

import kthreads


@pytest.fixture
def summing(function):
    return function("sum_into", "void(long, long, const double *, double *)")


def test_rows_that_were_enough_are_looked_at_again_after_a_resize(summing):
    values = np.ones(1000)
    sums = np.zeros((2, 16))
    with kthreads.Pool(2) as pool:
        loop = pool.prepare(summing, 1000, values, kthreads.PerWorker(sums), grain=1)
        loop()
        pool.resize(4)
        with pytest.raises(ValueError, match="PerWorker has 2 rows for 4 workers"):
            loop()
        pool.resize(2)
        loop()
    assert sums[:, 0].sum() == 2000


def test_rows_are_those_that_the_memory_has_when_the_loop_is_made(function):
    body = function("sum_into", "void(long, long, const void *, void *)")
    memory = bytearray(4096)
    rows = kthreads.PerWorker(memory)
    del memory[1:]
    assert (rows.rows, rows.row_size) == (1, 1)
    with kthreads.Pool(2) as pool, pytest.raises(ValueError, match="PerWorker has 1 rows for 2 workers"):
        pool.prepare(body, 1000, np.ones(1000), rows)


def test_workers_get_no_rows_that_are_not_there_while_the_pool_is_resized(function):
    """The array has rows for all, and the loop is told of two of them: the others stay as they are."""
    summing = function("sum_into", "void(long, long, const double *, double *)")
    values, rows = np.ones(200), np.zeros((8, 16))
    ended = threading.Event()
    with kthreads.Pool(2) as pool:

        def resize():
            while not ended.is_set():
                pool.resize(8)
                pool.resize(2)

        resizer = threading.Thread(target=resize)
        resizer.start()
        ran = 0
        try:
            loop = pool.prepare(summing, len(values), values, kthreads.PerWorker(rows[:2]), grain=1, workers=2)
            loop._most = 1  # so that nobody looks before the engine does
            while ran < 300:
                loop()
                ran += 1
        finally:
            ended.set()
            resizer.join()
    assert rows[:2].sum() == ran * len(values)
    assert not rows[2:].any()


def test_a_prepared_loop_called_by_many_at_once_runs_for_one_at_a_time(function):
    adding = function("add_one_to_each", "void(long, long, double *)")
    counts = np.zeros(20_000)
    ran, busy = [], []
    with kthreads.Pool(2) as pool:
        loop = pool.prepare(adding, len(counts), counts)

        def call():
            for _ in range(200):
                try:
                    loop()
                    ran.append(1)
                except kthreads.ThreadStateError:
                    busy.append(1)

        callers = [threading.Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert len(ran) + len(busy) == 800
    assert set(counts) == {len(ran)}


def test_a_prepared_loop_called_by_many_at_once_raises_to_each_caller_the_exception_of_its_own_run(pool):
    numbers, raised, refused = itertools.count(), [], []

    def body(begin, end):
        raise LookupError(next(numbers))

    loop = pool.prepare(body, 1)

    def call():
        for _ in range(2000):
            try:
                loop()
            except LookupError as error:
                raised.append(error.args[0])
            except kthreads.ThreadStateError as error:
                refused.append(str(error))

    run_at_once([call] * 4)
    assert sorted(raised) == list(range(8000 - len(refused)))
    assert {message[:23] for message in refused} <= {"this loop runs already:"}


def test_a_prepared_loop_called_by_many_at_once_tells_each_caller_where_its_own_run_failed(function):
    """The body fails at one item, which each run finds."""
    fails = function("fail_in", "int(long, long, long)")
    failures, refused = [], []
    with kthreads.Pool(1) as pool:
        loop = pool.prepare(fails, range(100, 200), 150, grain=1)

        def call():
            for _ in range(2000):
                try:
                    loop()
                except kthreads.NativeError as error:
                    failures.append((error.begin, error.end))
                except kthreads.ThreadStateError:
                    refused.append(1)

        run_at_once([call] * 4)
    assert len(failures) + len(refused) == 8000
    assert set(failures) == {(150, 151)}


def test_an_exception_of_a_body_that_an_interrupt_has_outrun_is_not_raised_by_the_next_run(pool):
    both, handled = threading.Barrier(2), threading.Event()

    class Interrupt(Exception):
        pass

    def handler(*_):
        handled.set()
        raise Interrupt

    def body(begin, end):
        if handled.is_set():
            raise LookupError("of the second run")
        both.wait()
        if threading.current_thread() is not threading.main_thread():
            main = threading.main_thread().ident
            while not re.match("Loop[.]", sys._current_frames()[main].f_code.co_qualname):
                time.sleep(0.001)  # until the main thread waits in the engine for this chunk
            os.kill(os.getpid(), signal.SIGUSR1)
            handled.wait()
            raise LookupError("of the first run")

    loop = pool.prepare(body, 2, grain=1)
    before = signal.signal(signal.SIGUSR1, handler)
    try:
        with pytest.raises(Interrupt):
            loop()
        with pytest.raises(LookupError, match="of the second run"):
            loop()
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_chunk_that_calls_its_own_loop_is_told_so(pool):
    said = []

    def body(begin, end):
        with pytest.raises(kthreads.ThreadStateError, match="this loop runs already"):
            loop()
        said.append(begin)

    loop = pool.prepare(body, 3, grain=1)
    loop()
    assert sorted(said) == [0, 1, 2]
