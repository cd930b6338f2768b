"""What a future, a pool and an executor keep alive, and for how long: as the standard executor does, or shorter."""

from __future__ import annotations

import concurrent.futures
import gc
import threading
import time
import weakref
from array import array
from concurrent.futures import CancelledError
from contextlib import suppress

import pytest

import kthreads


@pytest.fixture(autouse=True)
def without_the_collector():
    """Cycles would stay."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


MAKERS = [concurrent.futures.ThreadPoolExecutor, kthreads.ThreadPoolExecutor, kthreads.Pool]


@pytest.fixture(params=MAKERS, ids=["standard", "executor", "pool"])
def executor(request):
    """The standard executor is tested, too: what it does is what is expected of the others."""
    with request.param(1) as made:
        yield made


@pytest.fixture(params=MAKERS[1:], ids=["executor", "pool"])
def ours(request):
    with request.param(1) as made:
        yield made


class Value:
    """An argument, result or callable that can be watched."""

    def __call__(self, *args, **kwargs):
        return None


class Failure(Exception):
    """Of a class of ours: those of the interpreter cannot be watched."""


class Leaving(SystemExit):
    """The same."""


def fail(*args, **kwargs):
    raise Failure


def leave(*args, **kwargs):
    raise Leaving(3)


def are_dead(*references):
    """Whether all of them die: the worker may be about to drop them."""
    end = time.monotonic() + 5
    while any(reference() is not None for reference in references) and time.monotonic() < end:
        time.sleep(0.001)
    return all(reference() is None for reference in references)


def busy(executor):
    """The event that ends a task which keeps the only worker busy until then."""
    begun, release = threading.Event(), threading.Event()

    def wait():
        begun.set()
        release.wait()

    executor.submit(wait)
    begun.wait()
    return release


def test_a_future_keeps_neither_callable_nor_arguments_of_a_task_that_is_done(executor):
    fn, arg = Value(), Value()
    future = executor.submit(fn, arg, keyword=arg)
    future.result()
    references = weakref.ref(fn), weakref.ref(arg)
    del fn, arg
    assert are_dead(*references)


def test_an_idle_worker_keeps_nothing_of_its_last_task(executor):
    arg = Value()
    future = executor.submit(lambda arg: Value(), arg)
    result = future.result()
    references = weakref.ref(arg), weakref.ref(result), weakref.ref(future)
    del arg, result, future
    assert are_dead(*references)


@pytest.mark.parametrize("fn", [fail, leave])
def test_an_exception_that_result_raises_leaves_no_cycle(executor, fn):
    arg = Value()
    future = executor.submit(fn, arg, keyword=arg)
    for _ in range(2):
        try:
            future.result()
        except BaseException as error:
            references = weakref.ref(arg), weakref.ref(future), weakref.ref(error)
    del arg, future
    assert are_dead(*references)


@pytest.mark.parametrize("fn", [fail, leave])
def test_an_exception_that_was_asked_for_leaves_no_cycle(executor, fn):
    arg = Value()
    future = executor.submit(fn, arg, keyword=arg)
    references = weakref.ref(arg), weakref.ref(future.exception()), weakref.ref(future)
    del arg, future
    assert are_dead(*references)


def test_an_exception_in_a_callback_leaves_no_cycle(executor, monkeypatch):
    monkeypatch.setattr(concurrent.futures._base.LOGGER, "disabled", True)  # pytest keeps what is logged

    def raising(future, value=Value()):  # noqa: B008
        raise ValueError

    future = executor.submit(abs, -1)
    future.add_done_callback(raising)
    future.result()
    executor.shutdown()
    references = weakref.ref(raising.__defaults__[0]), weakref.ref(future)
    del raising, future
    assert are_dead(*references)


def test_a_cancelled_task_keeps_nothing_once_the_queue_has_come_to_it(executor):
    release, fn, arg = busy(executor), Value(), Value()
    future = executor.submit(fn, arg)
    assert future.cancel()
    with suppress(CancelledError):
        future.result()
    release.set()
    executor.submit(abs, -1).result()
    references = weakref.ref(fn), weakref.ref(arg), weakref.ref(future)
    del fn, arg
    assert are_dead(*references[:2])
    del future
    assert are_dead(*references)


def test_ours_keeps_nothing_of_a_cancelled_task_even_while_it_waits_in_the_queue(ours):
    release, fn, arg = busy(ours), Value(), Value()
    future = ours.submit(fn, arg)
    assert future.cancel()
    references = weakref.ref(fn), weakref.ref(arg), weakref.ref(future)
    del fn, arg, future
    assert are_dead(*references)
    release.set()


def test_a_task_that_shutdown_cancels_keeps_nothing(executor):
    release, fn, arg = busy(executor), Value(), Value()
    future = executor.submit(fn, arg)
    executor.shutdown(wait=False, cancel_futures=True)
    references = weakref.ref(fn), weakref.ref(arg)
    del fn, arg
    assert are_dead(*references)
    assert future.cancelled()
    release.set()


@pytest.mark.parametrize("make", MAKERS[:2], ids=["standard", "executor"])
def test_a_map_that_fails_keeps_none_of_its_arguments(make):
    with make(1) as executor:
        args = [Value() for _ in range(5)]
        with suppress(Failure):
            list(executor.map(fail, args))
        references = [weakref.ref(arg) for arg in args]
        del args
        assert are_dead(*references)


@pytest.mark.parametrize("make", MAKERS, ids=["standard", "executor", "pool"])
def test_an_executor_that_is_gone_keeps_neither_initializer_nor_its_arguments(make):
    initializer, arg = Value(), Value()
    executor = make(2, initializer=initializer, initargs=(arg,))
    executor.submit(abs, -1).result()
    references = weakref.ref(initializer), weakref.ref(arg), weakref.ref(executor)
    executor.shutdown()
    del initializer, arg, executor
    assert are_dead(*references)


@pytest.mark.parametrize("make", MAKERS, ids=["standard", "executor", "pool"])
def test_a_task_that_is_refused_keeps_nothing(make):
    executor, arg = make(1), Value()
    executor.shutdown()
    with suppress(RuntimeError):
        executor.submit(abs, arg)
    reference = weakref.ref(arg)
    del arg
    assert are_dead(reference)


# ---- Native functions ------------------------------------------------------------------------------------------------


def can_be_resized(buffer):
    """Whether nothing exports the buffer any more."""
    end = time.monotonic() + 5
    while time.monotonic() < end:
        try:
            buffer.append(buffer.pop())
        except BufferError:
            time.sleep(0.001)
        else:
            return True
    return False


def test_the_buffers_of_a_cancelled_native_task_are_released_at_once(ours, crc32):
    release, buffer = busy(ours), bytearray(8)
    future = ours.submit(crc32, 0, buffer, 8)
    assert not can_be_resized_now(buffer)
    assert future.cancel()
    assert can_be_resized_now(buffer)
    release.set()


def test_the_buffers_of_native_tasks_that_shutdown_cancels_are_released_at_once(ours, crc32):
    release, buffer = busy(ours), bytearray(8)
    ours.submit(crc32, 0, buffer, 8)
    ours.shutdown(wait=False, cancel_futures=True)
    assert can_be_resized_now(buffer)
    release.set()


def test_the_buffers_of_a_native_task_that_is_done_are_released(ours, crc32):
    buffer = bytearray(8)
    future = ours.submit(crc32, 0, buffer, 8)
    future.result()
    assert can_be_resized(buffer)


def can_be_resized_now(buffer):
    try:
        buffer.append(buffer.pop())
    except BufferError:
        return False
    return True


@pytest.mark.parametrize("cancel", [kthreads.pools.batch.Batch.cancel, lambda batch: [each.cancel() for each in batch]])
def test_the_buffers_of_a_cancelled_batch_are_released_at_once(function, cancel):
    minus, column = function("minus", "double(double, double)"), array("d", [1.0] * 8)
    with kthreads.Pool(1) as pool:
        release = busy(pool)
        batch = pool.submit_many(minus, column, column)
        assert not can_be_resized_now(column)
        cancel(batch)
        assert can_be_resized_now(column)
        release.set()


# ---- Loops -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raises", [False, True])
def test_a_loop_that_has_ended_keeps_neither_body_nor_arguments(raises):
    value, arg = Value(), Value()

    def body(begin, end, arg, value=value):
        if raises:
            raise ValueError

    with kthreads.Pool(2) as pool:
        references = weakref.ref(value), weakref.ref(arg), weakref.ref(body)
        with suppress(ValueError):
            pool.parallel_for(body, 100, arg)
        del value, arg, body
        assert are_dead(*references)


def test_a_prepared_loop_that_has_failed_does_not_keep_the_exception(pool):
    def body(begin, end):
        raise Failure

    loop = pool.prepare(body, 10)
    try:
        loop()
    except Failure as error:
        reference = weakref.ref(error)
    assert are_dead(reference)
