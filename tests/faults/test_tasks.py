"""Tasks and their futures: what crashed, hung or was lost."""

from __future__ import annotations

import asyncio
import concurrent.futures
import ctypes
import gc
import queue
import threading
import time
import weakref
from array import array

import pytest
from programs import printed

import kthreads
from kthreads.errors import ThreadLimitError
from kthreads.pools import completions, handle, native_task, python_task


@pytest.fixture
def minus(function):
    return function("minus", "double(double, double)")


# ---- Arguments in columns -----------------------------------------------------------------------------------------------

ABS = "int(int)"


@pytest.fixture
def absolute():
    return kthreads.symbol(None, "abs", ABS)


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, list, tuple, lambda r: array("b", r), lambda r: memoryview(bytes(r))]
)
def test_a_column_of_another_type_is_taken_by_its_items(pool, absolute, kind):
    assert pool.submit_many(absolute, kind(range(1, 9))).results() == list(range(1, 9))


def test_many_bytes_as_a_column_of_int_are_numbers(pool, absolute):
    assert sum(pool.submit_many(absolute, b"\1" * 4_000_000).results()) == 4_000_000


class Lies(list):
    def __init__(self, items, length):
        super().__init__(items)
        self.length = length

    def __len__(self):
        return self.length


class LyingBuffer(array):
    def __len__(self):
        return 1_000_000


@pytest.mark.parametrize(("items", "length"), [([1, 2], 5), ([1, 2, 3], 2), ([], 1)])
def test_a_length_that_is_not_true_is_an_error(pool, absolute, items, length):
    with pytest.raises(ValueError, match="an iterable of arguments ended"):
        pool.submit_many(absolute, Lies(items, length))


def test_a_buffer_whose_length_is_not_true_is_an_error(pool, absolute):
    with pytest.raises(ValueError, match="an iterable of arguments ended after 3 of 1000000"):
        pool.submit_many(absolute, LyingBuffer("i", [1, 2, 3]))


# ---- Callbacks that raise -----------------------------------------------------------------------------------------------


def leave(_):
    raise SystemExit("from a callback")


def test_a_callback_that_ends_the_program_loses_no_other_future(pool, gate, caplog):
    seen = queue.SimpleQueue()
    futures = [pool.submit(*gate.call) for _ in range(50)]
    for number, future in enumerate(futures):
        future.add_done_callback(seen.put)
        if number in (10, 20):
            future.add_done_callback(leave)
    gate.open()
    assert concurrent.futures.wait(futures, timeout=10).not_done == set()
    assert {seen.get(timeout=10) for _ in futures} == set(futures)
    pool.quiesce(timeout=10)


def test_a_result_that_the_user_has_set_loses_no_other_future(pool, minus, gate):
    seen = queue.SimpleQueue()
    futures = [pool.submit(*gate.call) for _ in range(5)]
    for future in futures:
        future.add_done_callback(seen.put)
    futures[0].set_result("of the user")
    gate.open()
    assert {seen.get(timeout=10) for _ in futures} == set(futures)
    pool.quiesce(timeout=10)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("is_python", [False, True])
def test_all_callbacks_of_one_future_are_called_once_whatever_they_raise(pool, gate, caplog, is_python):
    seen, ended = [], threading.Event()
    future = pool.submit(lambda: gate.function(*gate.args)) if is_python else pool.submit(*gate.call)
    for number in range(4):
        future.add_done_callback(lambda f, number=number: seen.append(number) or leave(f))
    future.add_done_callback(lambda _: ended.set())
    gate.open()
    assert ended.wait(10)
    assert seen == [0, 1, 2, 3]


# ---- The completion queue ------------------------------------------------------------------------------------------------------


def test_threads_that_submit_first_at_once_have_one_collector():
    assert (
        printed("""
import sys, threading
sys.setswitchinterval(1e-6)
from kthreads.pools import completions
barrier, found = threading.Barrier(8), []
def first():
    barrier.wait()
    found.append(completions.shared_completions())
threads = [threading.Thread(target=first) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(set(map(id, found))), len(completions.all_queues()))
""")
        == "1 1\n"
    )


def test_a_task_that_is_submitted_as_the_collector_decides_to_end_comes_back(pool, minus, monkeypatch):
    pool.submit(minus, 1, 2).result()
    home, seen, decided = completions.shared_completions(), queue.SimpleQueue(), threading.Event()
    awaits = home.awaits

    def submits_in_between():
        answer = awaits()
        if not answer and threading.current_thread().name == "kt-completions" and not decided.is_set():
            decided.set()
            pool.submit(minus, 1, 2).add_done_callback(seen.put)  # after the look, before the end
        return answer

    monkeypatch.setattr(home, "awaits", submits_in_between)
    home.stop()
    assert seen.get(timeout=10).result() == -1
    assert decided.is_set()


def test_quiesce_waits_for_a_drain_thread_that_was_told_to_end_before_it_began(pool, minus, monkeypatch):
    def refused(self):
        raise ThreadLimitError(11, "can't start new thread")

    pool.submit(minus, 1, 2).result()
    pool.quiesce()
    with monkeypatch.context() as patches:
        patches.setattr(kthreads.Thread, "start", refused)
        with pytest.raises(ThreadLimitError):
            pool.submit(minus, 1, 2)
    pool.quiesce()  # tells the thread, which could not be started, to end
    home, stepped_down, go_on = completions.shared_completions(), threading.Event(), threading.Event()
    drains, steps_down = [], home._steps_down

    def steps_down_slowly(drain_thread):
        answer = steps_down(drain_thread)
        if answer:
            drains.append(drain_thread.thread)
            stepped_down.set()
            go_on.wait(10)
        return answer

    monkeypatch.setattr(home, "_steps_down", steps_down_slowly)
    assert pool.submit(minus, 1, 2).result() == -1
    assert stepped_down.wait(10)
    threading.Timer(0.2, go_on.set).start()
    pool.quiesce()
    assert not drains[0].is_alive()


def test_a_callback_may_quiesce_its_pool(pool, minus):
    done = queue.SimpleQueue()
    pool.submit(minus, 1, 2).add_done_callback(lambda _: done.put(pool.quiesce(timeout=10)))
    assert done.get(timeout=20) is None


@pytest.mark.parametrize("many", [False, True])
def test_a_refused_start_leaves_no_entry(minus, monkeypatch, many):
    def refused(self):
        raise ThreadLimitError(11, "can't start new thread")

    with kthreads.Pool(1) as pool:
        pool.submit(minus, 1, 2).result()
        pool.quiesce()
        monkeypatch.setattr(completions.CompletionQueue, "ensure_drained", refused)
        with pytest.raises(ThreadLimitError):
            pool.submit_many(minus, [1.0] * 9, [2.0] * 9) if many else pool.submit(minus, 1, 2)
        monkeypatch.undo()
        pool.quiesce(timeout=10)
        assert not completions.shared_completions().pending


@ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int64)
def refuse(*_):
    return -12


def test_a_refused_submit_leaves_no_entry(minus, monkeypatch):
    with kthreads.Pool(1) as pool:
        monkeypatch.setattr(handle, "_submit", lambda *_: -12)
        monkeypatch.setattr(native_task, "_SUBMIT", ctypes.cast(refuse, ctypes.c_void_p).value)
        for fn, args in ((minus, (1, 2)), (abs, (1,))):
            with pytest.raises(kthreads.ThreadMemoryError):
                pool.submit(fn, *args)
        monkeypatch.undo()
        assert pool._handle.tasks() == []


# ---- Finalizers ---------------------------------------------------------------------------------------------------------


def test_finalizers_may_submit_while_tasks_are_gone_through(pool, minus):
    submitted = []

    class Submits:
        def __init__(self):
            self.cycle = self

        def __del__(self):
            submitted.append(pool.submit(minus, 1, 2))
            submitted.append(pool.submit(abs, 1))

    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for _ in range(300):
            Submits()
            pool._handle.tasks()
            completions.shared_completions().awaits()
            python_task.unregister_ended()
    finally:
        gc.set_threshold(*threshold)
    # Those that are left end here, not in a later test, whose pool is another. A collection does nothing while another thread
    # is in the middle of one.
    limit = time.monotonic() + 30
    while len(submitted) < 600 and time.monotonic() < limit:
        gc.collect()
    assert {future.result(timeout=30) for future in submitted} == {-1, 1}
    assert len(submitted) == 600


# ---- asyncio ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_python", [False, True])
def test_an_event_loop_goes_on_while_there_is_no_room(gate, is_python):
    async def main():
        with kthreads.Pool(1, queue_size=1) as pool:
            call = (lambda: gate.function(*gate.args),) if is_python else gate.call
            runs = [asyncio.ensure_future(pool.run(*call)) for _ in range(8)]
            await asyncio.sleep(0.05)  # comes back only if nobody waits in the loop
            gate.open()
            return await asyncio.gather(*runs)

    assert asyncio.run(asyncio.wait_for(main(), 20)) == [7] * 8


def test_those_that_wait_for_room_are_submitted_in_their_order(gate):
    order = []

    async def main():
        with kthreads.Pool(1, queue_size=1) as pool:
            held = asyncio.ensure_future(pool.run(*gate.call))
            runs = [asyncio.ensure_future(pool.run(order.append, number)) for number in range(8)]
            await asyncio.sleep(0.02)
            gate.open()
            await asyncio.gather(held, *runs)

    asyncio.run(asyncio.wait_for(main(), 20))
    assert order == list(range(8))


def test_an_event_loop_in_which_somebody_waited_for_room_is_let_go(gate):
    loops = []

    async def main(pool):
        loops.append(weakref.ref(asyncio.get_running_loop()))
        runs = [asyncio.ensure_future(pool.run(*gate.call)) for _ in range(4)]
        await asyncio.sleep(0.01)
        gate.open()
        await asyncio.gather(*runs)

    with kthreads.Pool(1, queue_size=1) as pool:
        asyncio.run(main(pool))
        gc.collect()
        assert loops[0]() is None


def test_a_full_pool_that_is_to_raise_does_so_in_a_coroutine(gate):
    async def main():
        with kthreads.Pool(1, queue_size=2, when_full="raise") as pool:
            runs = [asyncio.ensure_future(pool.run(*gate.call)) for _ in range(9)]
            await asyncio.sleep(0.01)
            gate.open()
            return await asyncio.gather(*runs, return_exceptions=True)

    assert queue.Full in map(type, asyncio.run(asyncio.wait_for(main(), 20)))


# ---- Initializers -------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", [kthreads.Pool, lambda n, **o: kthreads.ThreadPoolExecutor(n, **o)])
def test_no_task_runs_on_a_thread_whose_initializer_has_failed(kind, gate, caplog):
    begun = threading.Event()

    def failing():
        begun.wait()  # until a task waits
        raise ZeroDivisionError

    ran = []
    pool = kind(1, initializer=failing)
    try:
        future = pool.submit(ran.append, 1)
        begun.set()
        with pytest.raises(RuntimeError, match="initializer"):
            future.result(10)
        with pytest.raises(RuntimeError, match="initializer"):
            pool.submit(ran.append, 2)
    finally:
        begun.set()
        pool.shutdown()
    assert ran == []


# ---- What is kept -------------------------------------------------------------------------------------------------------


class Large:
    pass


def fails(_):
    raise ValueError("of the task")


@pytest.mark.parametrize("kind", [kthreads.Pool, kthreads.ThreadPoolExecutor])
@pytest.mark.parametrize("fn", [id, fails])
def test_a_python_task_that_has_ended_keeps_no_argument(kind, fn):
    gc.disable()
    try:
        with kind(1) as pool:
            argument = Large()
            gone = weakref.ref(argument)
            future = pool.submit(fn, argument)
            del argument
            error = future.exception(10)
            if error is not None:
                error.__traceback__ = None  # the callable's own frame has it
            pool.submit(id, 1).result()  # the thread has left the task
            assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("kind", [kthreads.Pool, kthreads.ThreadPoolExecutor])
def test_a_failed_python_task_is_in_no_cycle(kind):
    gc.disable()
    try:
        with kind(1) as pool:
            future = pool.submit(fails, 1)
            with pytest.raises(ValueError, match="of the task") as caught:
                future.result(10)
            pool.submit(id, 1).result()
            gone = weakref.ref(future)
            del future, caught
            assert gone() is None
    finally:
        gc.enable()


# ---- Signals ------------------------------------------------------------------------------------------------------------

STORM = """
import os, random, signal, sys, threading, time
import kthreads
minus = kthreads.symbol(sys.argv[1], "minus", "double(double, double)")
left = 0
def handler(*_):
    global left
    if left > 0:
        left -= 1
        raise KeyboardInterrupt
signal.signal(signal.SIGINT, handler)
def storm():
    while True:
        time.sleep(random.random() / 2000)
        os.kill(os.getpid(), signal.SIGINT)
threading.Thread(target=storm, daemon=True).start()
def attempt(times):
    global left
    try:
        left = times
        {operation}
        left = 0
        return 0
    except KeyboardInterrupt:
        try:
            left = 0
        except KeyboardInterrupt:
            left = 0
        return 1
end = time.monotonic() + 0.7
pool = kthreads.Pool(2, queue_size=2)
done = interrupts = 0
while time.monotonic() < end:
    done, interrupts = done + 1, interrupts + attempt(int(sys.argv[2]))
pool.shutdown()
print("well", done > 0, interrupts > 0)
"""


@pytest.mark.parametrize("times", ["1", "2"])  # interrupts at once: the second meets the clean-up
@pytest.mark.parametrize(
    "operation",
    [
        "pool.submit(time.sleep, 1e-5)",
        "pool.submit(minus, 1, 2)",
        "pool.submit_many(time.sleep, [1e-5] * 9)",
        "pool.submit_many(minus, [1.0] * 99, [2.0] * 99)",
        "pool.parallel_for(lambda begin, end: None, 9)",
        "t = kthreads.Thread(target=minus, args=(1, 2)); t.start(); t.join()",
    ],
)
def test_a_storm_of_interrupts_crashes_nothing(native_library, operation, times):
    program = STORM.replace("{operation}", operation)
    assert printed(program, native_library, times) == "well True True\n"
