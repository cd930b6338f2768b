"""A pool's tasks: native and Python ones, their queue, and how they are awaited."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import os
import queue
import sys
import threading
import time
import weakref
from itertools import repeat

import numpy as np
import pytest
from free_threading import FREE_THREADED

import kthreads

# ---- Native tasks ---------------------------------------------------------------------------------------


def test_a_native_task_returns_what_its_function_returned(pool, crc32):
    future = pool.submit(crc32, 0, b"abc", 3)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result() == 0x352441C2
    assert future.done()
    assert future.exception() is None
    assert not future.cancel()


def test_futures_work_with_wait_as_completed_and_callbacks(pool, crc32):
    futures = pool.submit_many(crc32, [0] * 100, [bytes([n]) for n in range(100)], repeat(1))
    called = queue.Queue()
    futures[0].add_done_callback(called.put)
    assert concurrent.futures.wait(futures, timeout=30).not_done == set()
    assert set(concurrent.futures.as_completed(futures)) == set(futures)
    assert called.get(timeout=30) is futures[0]
    assert len({future.result() for future in futures}) == 100


def test_errno_of_a_native_task_is_its_own(pool):
    close = kthreads.symbol(None, "close", "int(int)")
    future = pool.submit(close, -1)
    assert (future.result(), future.errno) == (-1, 9)


def test_as_many_tasks_run_at_once_as_there_are_workers(pool, function):
    meet = function("meet", "void(long, long, int *, int)")
    arrived = np.zeros(1, "i4")
    futures = pool.submit_many(meet, [0] * 2, [0] * 2, [arrived] * 2, [2] * 2)
    assert [future.result(timeout=30) for future in futures] == [None, None]


def test_a_task_that_waits_can_be_cancelled_and_does_not_run(gate):
    with kthreads.Pool(1) as pool:
        running = pool.submit(gate.function, *gate.args)
        gate.wait_for(1)
        waiting = pool.submit(gate.function, *gate.args)
        assert running.running()
        assert not waiting.running()
        assert waiting.cancel()
        assert waiting.cancelled()
        assert not running.cancel()
        with pytest.raises(concurrent.futures.CancelledError):
            waiting.result()
        gate.open()
        assert running.result() == 7
    assert gate.arrived[0] == 1


def test_waiting_for_a_result_can_time_out(pool, gate):
    future = pool.submit(gate.function, *gate.args)
    with pytest.raises(TimeoutError):
        future.result(timeout=0.01)
    with pytest.raises(TimeoutError):
        future.exception(timeout=0)
    gate.open()
    assert future.result() == 7


def test_a_callback_is_called_though_a_wait_timed_out_before(pool, gate):
    future = pool.submit(gate.function, *gate.args)
    called = threading.Event()
    future.add_done_callback(lambda _: called.set())
    with pytest.raises(TimeoutError):
        future.result(timeout=0.01)
    gate.open()
    assert called.wait(30)


def test_buffers_stay_locked_until_the_task_has_ended(pool, gate):
    array = bytearray(4)
    future = pool.submit(gate.function, gate.arrived, gate.word)
    held = pool.submit(kthreads.symbol(None, "memset", "void *(void *, int, size_t)"), array, 1, 4)
    gate.open()
    future.result()
    held.result()
    array.extend(b"x")
    assert bytes(array) == b"\1\1\1\1x"


def test_bad_arguments_are_refused_at_once(pool, crc32):
    with pytest.raises(OverflowError, match="argument 3"):
        pool.submit(crc32, 0, b"", -1)
    with pytest.raises(TypeError, match="keyword"):
        pool.submit(crc32, 0, b"", n=0)
    with pytest.raises(TypeError, match="callable"):
        pool.submit(3)


# ---- Python tasks ---------------------------------------------------------------------------------------


def test_a_python_task_returns_and_raises(pool):
    assert pool.submit(divmod, 7, 2).result() == (3, 1)
    assert pool.submit(dict, a=1).result() == {"a": 1}
    with pytest.raises(ZeroDivisionError):
        pool.submit(divmod, 7, 0).result()


def test_many_python_tasks_are_submitted_at_once(pool):
    assert [future.result() for future in pool.submit_many(pow, range(50), repeat(2))] == [n * n for n in range(50)]


def test_a_cancelled_python_task_is_over_for_who_waits_for_many(gate):
    with kthreads.Pool(1) as pool:
        pool.submit(gate.function, *gate.args)
        gate.wait_for(1)
        waiting = pool.submit(abs, -1)
        assert [waiting.cancel(), waiting.cancel()] == [True, True]
        assert concurrent.futures.wait([waiting], timeout=30).not_done == set()
        assert list(concurrent.futures.as_completed([waiting], timeout=30)) == [waiting]
        gate.open()


def test_a_task_may_run_a_loop_and_submit_tasks(pool):
    def task():
        values = []
        pool.parallel_for(lambda begin, end: values.append(end - begin), 100)
        return sum(values), pool.submit(abs, -3)

    count, inner = pool.submit(task).result()
    assert (count, inner.result()) == (100, 3)


def test_the_result_of_a_python_task_is_its_futures_alone(pool):
    future = pool.submit(threading.Event)
    result = weakref.ref(future.result())
    del future
    while result() is not None:  # the worker may be about to let go of it
        if FREE_THREADED:
            gc.collect()  # brings the counts of references together that two threads have
        time.sleep(0.001)


def test_what_a_python_task_used_is_let_go(pool):
    class Thing:
        pass

    thing = Thing()
    before = sys.getrefcount(thing)
    pool.submit(lambda thing: None, thing).result()
    pool.submit(abs, 1).result()
    gc.collect()
    assert sys.getrefcount(thing) == before


# ---- The queue ------------------------------------------------------------------------------------------


def test_a_full_queue_raises_where_that_was_chosen(gate):
    with kthreads.Pool(1, queue_size=2, when_full="raise") as pool:
        pool.submit(gate.function, *gate.args)
        gate.wait_for(1)
        waiting = pool.submit_many(gate.function, *zip(*[gate.args] * 2, strict=True))
        with pytest.raises(queue.Full):
            pool.submit(gate.function, *gate.args)
        with pytest.raises(queue.Full):
            pool.submit(abs, 1)
        gate.open()
        assert [future.result() for future in waiting] == [7, 7]


def test_a_full_queue_makes_the_submitter_wait(gate):
    with kthreads.Pool(1, queue_size=2) as pool:
        futures = []
        submitter = threading.Thread(
            target=lambda: futures.extend(pool.submit(gate.function, *gate.args) for _ in range(20))
        )
        submitter.start()
        gate.wait_for(1)
        gate.open()
        submitter.join()
        assert [future.result() for future in futures] == [7] * 20


# ---- asyncio --------------------------------------------------------------------------------------------


def test_native_and_python_functions_are_awaited(pool, crc32):
    async def main():
        return await asyncio.gather(pool.run(crc32, 0, b"abc", 3), pool.run(divmod, 7, 2))

    assert asyncio.run(main()) == [0x352441C2, (3, 1)]


def test_a_future_is_wrapped_for_asyncio(pool, crc32):
    async def main():
        return await asyncio.wrap_future(pool.submit(crc32, 0, b"abc", 3))

    assert asyncio.run(main()) == 0x352441C2


def test_awaiting_does_not_hold_the_event_loop_up(pool, gate):
    async def main():
        task = asyncio.create_task(pool.run(gate.function, *gate.args))
        while not gate.arrived[0]:
            await asyncio.sleep(0)
        gate.open()
        return await task

    assert asyncio.run(main()) == 7


def test_an_awaiting_task_can_be_cancelled_while_the_function_runs(pool, gate):
    async def main():
        task = asyncio.create_task(pool.run(gate.function, *gate.args))
        while not gate.arrived[0]:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    gate.open()
    pool.quiesce()
    asyncio.run(pool.run(abs, 1))  # a new event loop, after the old one was closed with a task on its way


def test_event_loops_leave_no_descriptors_behind(pool, crc32):
    asyncio.run(pool.run(crc32, 0, b"", 0))
    gc.collect()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        asyncio.run(pool.run(crc32, 0, b"", 0))
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before + 1
