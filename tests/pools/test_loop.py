"""Parallel loops."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kthreads
from kthreads import WORKER_INDEX, CancelToken, PerWorker

STORE = "void(long, long, long, long *)"


@pytest.fixture(scope="module")
def pool():
    with kthreads.Pool(3) as pool:
        yield pool


# ---- What is run -----------------------------------------------------------------------------------------------------


@given(
    start=st.integers(0, 50),
    length=st.integers(0, 3000),
    step=st.integers(1, 7),
    backwards=st.booleans(),
    grain=st.none() | st.integers(1, 500),
    schedule=st.sampled_from(["dynamic", "static"]),
    workers=st.none() | st.integers(1, 5),
)
@settings(max_examples=150)
def test_a_native_body_gets_each_item_of_a_range_once(
    function, pool, start, length, step, backwards, grain, schedule, workers
):
    store = function("store_indices", STORE)
    items = range(start + length, start - 1, -step) if backwards else range(start, start + length, step)
    values = np.zeros(start + length + 1, "i8")
    pool.parallel_for(store, items, items.step, values, grain=grain, schedule=schedule, workers=workers)
    expected = np.zeros_like(values)
    expected[list(items)] = list(items)
    assert (values == expected).all()


def test_a_python_body_gets_chunks_that_make_up_the_range(pool):
    chunks = []
    pool.parallel_for(lambda begin, end, tag: chunks.append((begin, end, tag)), range(5, 1000), "x")
    assert sorted(index for begin, end, _ in chunks for index in range(begin, end)) == list(range(5, 1000))
    assert {tag for _, _, tag in chunks} == {"x"}


def test_chunks_are_as_large_as_the_grain(pool):
    chunks = []
    pool.parallel_for(lambda begin, end: chunks.append(end - begin), 1000, grain=300)
    assert sorted(chunks) == [100, 300, 300, 300]


def test_a_static_schedule_makes_one_chunk_a_worker(pool):
    chunks = []
    pool.parallel_for(lambda begin, end: chunks.append(end - begin), 1000, schedule="static")
    assert sorted(chunks) == [332, 334, 334]


def test_floats_and_arrays_are_arguments(function, pool):
    axpy = function("axpy", "void(size_t, size_t, double, const double *, double *)")
    x, y = np.arange(1000.0), np.ones(1000)
    pool.parallel_for(axpy, 1000, 2.0, x, y)
    assert (y == 1 + 2 * np.arange(1000.0)).all()


def test_unsigned_ranges_reach_beyond_half_of_the_type(pool):
    seen = []
    body = lambda begin, end: seen.append((begin, end))  # noqa: E731
    pool.parallel_for(body, range(1 << 62, (1 << 62) + 2), grain=2)
    assert seen == [(1 << 62, (1 << 62) + 2)]


def test_all_workers_take_part_when_the_work_asks_for_it(function):
    meet = function("meet", "void(long, long, int *, int)")
    arrived = np.zeros(1, "i4")
    with kthreads.Pool(5) as pool:
        loop = pool.prepare(meet, 5, arrived, 5)
        loop()
    assert (arrived[0], loop.took_part) == (5, 5)


def test_no_more_workers_take_part_than_were_asked_for(function):
    meet = function("meet", "void(long, long, int *, int)")
    arrived = np.zeros(1, "i4")
    with kthreads.Pool(5) as pool:
        loop = pool.prepare(meet, 2, arrived, 2, workers=2)
        loop()
    assert loop.took_part == 2


# ---- Per worker --------------------------------------------------------------------------------------------------------


def test_workers_sum_into_rows_of_their_own(function, pool):
    sum_into = function("sum_into", "void(long, long, const double *, double *)")
    values, sums = np.arange(100_000.0), np.zeros((pool.workers, 16))
    pool.parallel_for(sum_into, len(values), values, PerWorker(sums), grain=10)
    assert sums[:, 0].sum() == values.sum()


def test_the_worker_index_is_an_argument(function, pool):
    count = function("count_worker", "void(long, long, int, long *)")
    counts = np.zeros(pool.workers, "i8")
    pool.parallel_for(count, 10_000, WORKER_INDEX, counts, grain=1)
    assert counts.sum() == 10_000


def test_too_few_rows_are_an_error(function, pool):
    sum_into = function("sum_into", "void(long, long, const double *, double *)")
    with pytest.raises(ValueError, match="2 rows for 3 workers"):
        pool.parallel_for(sum_into, 10, np.zeros(10), PerWorker(np.zeros((2, 16))))


def test_python_bodies_have_no_rows(pool):
    with pytest.raises(TypeError, match="native bodies"):
        pool.parallel_for(print, 10, WORKER_INDEX)


# ---- Prepared loops ------------------------------------------------------------------------------------------------------


def test_a_prepared_loop_runs_again_and_again(function, pool):
    values = np.zeros(100)
    loop = pool.prepare(function("add_one_to_each", "void(long, long, double *)"), 100, values)
    for _ in range(50):
        loop()
    assert (values == 50).all()


def test_a_prepared_loop_cannot_run_within_itself(pool):
    errors = []

    def body(begin, end):
        with pytest.raises(kthreads.ThreadStateError, match="runs already") as caught:
            loop()
        errors.append(caught)

    loop = pool.prepare(body, 1)
    loop()
    assert len(errors) == 1


# ---- Loops within loops, and beside them -----------------------------------------------------------------------------------


def test_loops_nest(function, pool):
    add = function("add_one_to_each", "void(long, long, double *)")
    values = np.zeros((20, 1000))

    def outer(begin, end):
        for row in range(begin, end):
            pool.parallel_for(add, 1000, values[row])

    pool.parallel_for(outer, 20, grain=1)
    assert (values == 1).all()


def test_threads_run_loops_at_the_same_time(function, pool):
    add = function("add_one_to_each", "void(long, long, double *)")
    values = np.zeros((4, 1000))

    def caller(row):
        for _ in range(100):
            pool.parallel_for(add, 1000, values[row], grain=10)

    threads = [threading.Thread(target=caller, args=(row,)) for row in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (values == 100).all()


# ---- Failures ----------------------------------------------------------------------------------------------------------------


def test_a_failing_native_body_says_where_and_why(function, pool):
    fail_in = function("fail_in", "int(long, long, long)")
    with pytest.raises(kthreads.NativeError, match=r"fail_in\(\) returned -3 for the chunk from 500 to 600") as caught:
        pool.parallel_for(fail_in, 1000, 555, grain=100)
    error = caught.value
    assert (error.code, error.begin, error.end, error.errno) == (-3, 500, 600, 28)


def test_an_exception_of_a_python_body_stops_the_loop_and_comes_out(pool):
    ran = []

    def body(begin, end):
        ran.append(begin)
        if begin == 3:
            raise LookupError("three")

    with pytest.raises(LookupError, match="three"):
        pool.parallel_for(body, 100_000, grain=1)
    assert len(ran) < 100_000


def test_a_loop_can_run_again_after_its_body_failed(pool):
    fail = [True]

    def body(begin, end):
        if fail[0]:
            raise LookupError

    loop = pool.prepare(body, 10)
    with pytest.raises(LookupError):
        loop()
    fail[0] = False
    loop()


def test_a_token_stops_a_loop_and_bodies_that_look_at_it(function, pool):
    wait = function("wait_for_token", "void(long, long, const volatile int *, int *)")
    token, arrived = CancelToken(), np.zeros(1, "i4")

    def cancel():
        while not arrived[0]:
            time.sleep(0.001)
        token.cancel()

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises(kthreads.LoopCancelledError, match="of 1000 items") as caught:
        pool.parallel_for(wait, 1000, token, arrived, cancel=token, grain=1)
    canceller.join()
    assert 1 <= caught.value.done < 1000
    assert caught.value.count == 1000


def test_a_cancelled_token_stops_a_loop_before_it_begins(pool):
    token, ran = CancelToken(), []
    token.cancel()
    with pytest.raises(kthreads.LoopCancelledError) as caught:
        pool.parallel_for(lambda begin, end: ran.append(begin), 10, cancel=token)
    assert (caught.value.done, ran) == (0, [])


def test_a_loop_that_takes_too_long_is_stopped(pool):
    with pytest.raises(kthreads.errors.LoopTimeoutError, match="not done in time") as caught:
        pool.parallel_for(lambda begin, end: time.sleep(0.001), 100_000, grain=1, timeout=0.05)
    assert isinstance(caught.value, TimeoutError)
    assert 0 < caught.value.done < 100_000


def test_ctrl_c_stops_a_loop_of_native_chunks(function, pool):
    arrived = np.zeros(1, "i4")

    def interrupt():
        while not arrived[0]:
            time.sleep(0.001)
        signal.raise_signal(signal.SIGINT)

    helper = threading.Thread(target=interrupt)
    helper.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        pool.parallel_for(function("nap", "void(long, long, int *)"), 1_000_000, arrived, grain=1)
    helper.join()
    assert "items done" in caught.value.__notes__[0]


# ---- Bad input -----------------------------------------------------------------------------------------------------------------


def test_a_function_whose_first_parameters_are_no_integers_is_no_body(pool):
    sqrt = kthreads.symbol("libm.so.6", "sqrt", "double(double)")
    with pytest.raises(TypeError, match="first two parameters must be integers"):
        pool.parallel_for(sqrt, 10)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"n_or_range": -1}, ValueError, "0 or more"),
        ({"n_or_range": 1.5}, TypeError, "not float"),
        ({"n_or_range": range(1 << 70)}, OverflowError, "64 bits"),
        ({"grain": 0}, ValueError, "grain must be 1 or more"),
        ({"workers": 0}, ValueError, "workers must be 1 or more"),
        ({"workers": True}, TypeError, "workers must be an int"),
        ({"schedule": "guided"}, ValueError, "'dynamic' or 'static'"),
        ({"cancel": True}, TypeError, "CancelToken"),
        ({"body": 5}, TypeError, "native function or callable"),
    ],
)
def test_bad_arguments_say_what_is_wrong(pool, options, error, message):
    options = {"body": lambda begin, end: None, "n_or_range": 10} | options
    with pytest.raises(error, match=message):
        pool.parallel_for(**options)


def test_an_empty_range_runs_nothing(pool):
    ran = []
    pool.parallel_for(lambda begin, end: ran.append(begin), 0)
    pool.parallel_for(lambda begin, end: ran.append(begin), range(10, 5))
    assert ran == []


def test_a_read_only_output_is_refused(function, pool):
    values = np.zeros(10)
    values.flags.writeable = False
    with pytest.raises(TypeError, match="argument 3"):
        pool.parallel_for(function("add_one_to_each", "void(long, long, double *)"), 10, values)


def test_a_wrong_number_of_arguments_is_refused(function, pool):
    with pytest.raises(TypeError, match="takes 3 arguments"):
        pool.parallel_for(function("add_one_to_each", "void(long, long, double *)"), 10)


def test_bounds_must_fit_the_type_of_the_body(function, pool):
    axpy = function("axpy", "void(size_t, size_t, double, const double *, double *)")
    with pytest.raises(OverflowError, match="argument 1"):
        pool.parallel_for(axpy, range(-5, 5), 1.0, np.zeros(5), np.zeros(5))
