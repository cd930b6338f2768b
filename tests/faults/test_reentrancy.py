"""What signal handlers and finalizers may call, called at each instruction of what they come between."""

from __future__ import annotations

import queue
from array import array
from concurrent.futures import CancelledError
from contextlib import suppress

import pytest
from interrupt import at_every_opcode

import kthreads
from kthreads.pools import completions


@pytest.fixture
def minus(function):
    return function("minus", "double(double, double)")


@pytest.fixture
def small_pool():
    with kthreads.Pool(1, queue_size=64) as pool:
        yield pool


@pytest.fixture
def executor():
    with kthreads.ThreadPoolExecutor(2) as executor:
        yield executor


def finish(called):
    """Whatever was submitted ends, and its callbacks are called."""
    while not called.empty():
        assert called.get().result(5) in (-1, 1)


def operations(pool, executor, minus):
    yield lambda: pool.submit(minus, 1, 2).result(5)
    yield lambda: pool.submit(abs, -1).result(5)
    yield lambda: pool.submit_many(minus, [1.0], [2.0]).results()
    yield lambda: executor.submit(minus, 1, 2).result(5)
    yield lambda: executor.submit(abs, -1).result(5)
    yield lambda: pool.submit(minus, 1, 2).add_done_callback(id)
    yield lambda: pool.submit(minus, 1, 2).cancel()
    yield completions.shared_completions().drain
    yield lambda: pool.quiesce(timeout=5)


@pytest.mark.parametrize("number", range(9))
def test_a_handler_may_submit_at_any_point(small_pool, executor, minus, number):
    operation = list(operations(small_pool, executor, minus))[number]
    submitted = queue.SimpleQueue()

    def handler():
        for fn, args in ((minus, (1, 2)), (abs, (-1,))):
            submitted.put(small_pool.submit(fn, *args))
            submitted.put(executor.submit(fn, *args))
        for future in small_pool.submit_many(minus, [1.0], [2.0]):
            submitted.put(future)

    def check():
        finish(submitted)
        small_pool.quiesce(timeout=5)
        completions.shared_completions().drain()
        assert not [
            task for task in completions.shared_completions().pending.values() if task.owner == id(small_pool._handle)
        ]

    at_every_opcode(operation, handler=handler, check=check, may_return=True)


@pytest.mark.parametrize(
    "method", ["cancel", "done", "running", "cancelled", "add_done_callback", "result", "exception"]
)
@pytest.mark.parametrize("is_python", [False, True])
def test_a_handler_may_use_a_future_at_any_point_of_its_life(small_pool, minus, method, is_python):
    def prepare():
        future = small_pool.submit(abs, -1) if is_python else small_pool.submit(minus, 1, 2)
        return future, []

    def handler(made):
        future, calls = made
        arguments = {"add_done_callback": [calls.append], "result": [0], "exception": [0]}.get(method, [])
        with suppress(TimeoutError, CancelledError):
            getattr(future, method)(*arguments)

    def operation(made):
        future, calls = made
        future.add_done_callback(calls.append)
        future.cancel()
        assert future.done() or not future.cancelled()

    def check(made):
        future, calls = made
        small_pool.quiesce(timeout=5)
        assert future.done()
        assert 1 <= len(calls) <= 2
        assert set(calls) == {future}

    at_every_opcode(operation, handler=handler, prepare=prepare, check=check, may_return=True)


def test_a_handler_may_cancel_a_loop_and_a_batch_at_any_point(pool, function, minus):
    counting = function("add_one_to_each", "void(long, long, double *)")
    counts = array("d", bytes(80))

    def prepare():
        return kthreads.CancelToken(), pool.submit_many(minus, [1.0] * 4, [2.0] * 4)

    def handler(made):
        token, batch = made
        token.cancel()
        batch.cancel()
        assert batch.done() or not batch[0].cancelled()

    def operation(made):
        token, batch = made
        try:
            pool.parallel_for(counting, 10, counts, cancel=token)
            batch.results()
        except (kthreads.LoopCancelledError, CancelledError):
            pass

    at_every_opcode(operation, handler=handler, prepare=prepare, may_return=True)


def test_a_handler_may_start_and_join_a_thread_at_any_point_of_another_ones_life(minus):
    def run_one(*_):
        thread = kthreads.Thread(target=minus, args=(1, 2))
        thread.start()
        thread.is_alive()
        thread.join()
        assert thread.result == -1

    at_every_opcode(run_one, handler=run_one, may_return=True)
