"""An interrupt at each instruction of what hands something over to the engine: nothing is lost, leaked or left running."""

from __future__ import annotations

import gc
import os
import queue
from array import array
from concurrent.futures import CancelledError
from contextlib import suppress

import pytest
from interrupt import at_every_opcode
from own_threads import threads_of_process

import kthreads
from kthreads.pools import completions, python_task
from kthreads.threads import registry

ADD = "double(double, double)"


@pytest.fixture
def minus(function):
    return function("minus", ADD)


def nothing_is_left_of_python_tasks():
    python_task.unregister_ended()
    assert not python_task.registered


def is_settled(pool):
    """The pool's threads are free, and nobody waits for a task any more."""
    pool.quiesce(timeout=5)
    completions.shared_completions().drain()
    assert not completions.shared_completions().pending
    nothing_is_left_of_python_tasks()
    registry.unregister_ended()
    assert not registry.registered


# ---- Threads ------------------------------------------------------------------------------------------------------------


def starts_or_can_be_started(thread):
    """Whatever an interrupt has come between: the thread runs, or can be started now."""
    if not thread.kt_was_started():
        assert id(thread) not in registry.registered
        assert not thread.is_alive()
        thread.start()
    assert kthreads.wait([thread], timeout=5).done == {thread}
    thread.join()
    assert thread.result == -1
    assert id(thread) not in registry.registered


@pytest.mark.parametrize("reuse", [False, True])
def test_an_interrupted_start_of_a_native_thread_has_started_it_or_not(minus, reuse):
    at_every_opcode(
        kthreads.Thread.start,
        prepare=lambda: kthreads.Thread(target=minus, args=(1, 2), reuse=reuse),
        check=starts_or_can_be_started,
    )


def test_an_interrupted_start_of_a_python_thread_has_started_it_or_not():
    at_every_opcode(
        kthreads.Thread.start,
        prepare=lambda: kthreads.Thread(target=lambda: -1),
        check=starts_or_can_be_started,
    )


@pytest.mark.parametrize("end", [kthreads.Thread.join, kthreads.Thread.is_alive, lambda t: kthreads.wait([t]).done])
def test_an_interrupted_join_can_be_made_again(minus, end):
    def started():
        thread = kthreads.Thread(target=minus, args=(1, 2))
        thread.start()
        return thread

    at_every_opcode(end, prepare=started, check=starts_or_can_be_started)


def test_an_interrupted_join_lets_go_of_the_arguments_when_it_is_made_again(function):
    length = function("length", "size_t(const char *)")

    def started():
        text = bytearray(b"text\0")
        thread = kthreads.Thread(target=length, args=(text,))
        thread.start()
        return thread, text

    def check(made):
        thread, text = made
        thread.join()
        text.append(1)  # BufferError while it is held

    at_every_opcode(lambda made: made[0].join(), prepare=started, check=check)


# ---- Tasks --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_pool():
    with kthreads.Pool(1, queue_size=2) as pool:
        yield pool


def test_an_interrupted_submit_of_a_native_function_leaves_nothing(small_pool, minus):
    at_every_opcode(lambda: small_pool.submit(minus, 1, 2), check=lambda: is_settled(small_pool))


def test_an_interrupted_submit_of_a_python_callable_leaves_nothing(small_pool):
    at_every_opcode(lambda: small_pool.submit(abs, -1), check=lambda: is_settled(small_pool))


def test_an_interrupted_submit_many_of_a_native_function_leaves_nothing(small_pool, minus):
    numbers = [float(number) for number in range(6)]
    at_every_opcode(lambda: small_pool.submit_many(minus, numbers, numbers), check=lambda: is_settled(small_pool))


def test_an_interrupted_submit_many_of_a_python_callable_leaves_nothing(small_pool):
    at_every_opcode(lambda: small_pool.submit_many(abs, range(6)), check=lambda: is_settled(small_pool))


@pytest.mark.parametrize("is_python", [False, True])
def test_an_interrupted_refusal_of_a_submit_leaves_nothing(minus, is_python):
    pool = kthreads.Pool(1)
    pool.shutdown()

    def check():
        assert not completions.shared_completions().pending
        assert not python_task.registered

    def refused():
        with suppress(kthreads.ThreadStateError):
            if is_python:
                pool.submit(abs, -1)
            else:
                pool.submit_many(minus, [1.0] * 3, [2.0] * 3)

    python_task.unregister_ended()
    at_every_opcode(refused, check=check, only_after_calls=True)


def test_an_interrupted_submit_of_an_executor_leaves_nothing(minus):
    def check(executor):
        executor.submit(abs, 1).result(5)
        executor.shutdown()
        completions.shared_completions().drain()
        assert not completions.shared_completions().pending
        nothing_is_left_of_python_tasks()

    for fn, args in ((minus, (1, 2)), (abs, (-1,))):
        at_every_opcode(
            lambda executor, fn=fn, args=args: executor.submit(fn, *args),
            prepare=lambda: kthreads.ThreadPoolExecutor(1),
            check=check,
        )


def test_interrupted_waits_for_futures_can_be_made_again(small_pool, minus):
    def check(futures):
        assert [future.result(5) for future in futures] == [-1, 1]
        assert [future.exception(5) for future in futures] == [None, None]

    at_every_opcode(
        lambda futures: [future.result() for future in futures],
        prepare=lambda: (small_pool.submit(minus, 1, 2), small_pool.submit(abs, -1)),
        check=check,
    )


def test_an_interrupted_look_at_a_future_loses_no_callback(small_pool, minus):
    def check(made):
        future, calls = made
        future.add_done_callback(lambda _: calls.append("later"))
        is_settled(small_pool)
        assert future.done()
        assert calls in (["later"], ["first", "later"])

    at_every_opcode(
        lambda made: made[0].add_done_callback(lambda _: made[1].append("first")),
        prepare=lambda: (small_pool.submit(minus, 1, 2), []),
        check=check,
    )


@pytest.fixture
def words():
    """Gates for `pass_gate`, opened at the end of a test, however it ends."""
    words = [array("i", [0])]
    yield words
    for word in words:
        word[0] = 1


@pytest.mark.parametrize("is_python", [False, True])
def test_an_interrupted_cancel_cancels_or_does_not(small_pool, words, gate, is_python):
    """Whoever waits hears of it, though the cancelling was cut short."""
    gate.open()

    def prepare():
        arrived, word = array("i", [0]), array("i", [0])
        words.append(word)
        small_pool.submit(gate.function, arrived, word)
        while not arrived[0]:
            os.sched_yield()
        future = small_pool.submit(abs, -1) if is_python else small_pool.submit(gate.function, *gate.args)
        calls = []
        future.add_done_callback(calls.append)
        return future, word, calls

    def check(made):
        future, word, calls = made
        word[0] = 1
        try:
            assert future.result(5) in (1, 7)
        except CancelledError:
            assert future.cancelled()
        is_settled(small_pool)
        assert calls == [future]

    at_every_opcode(lambda made: made[0].cancel(), prepare=prepare, check=check)


def test_interrupted_collecting_calls_all_callbacks_once(small_pool, minus):
    home = completions.shared_completions()

    def prepare():
        small_pool.quiesce()  # and so the thread that collects
        with home._draining:
            futures = [small_pool.submit(minus, 1, 2) for _ in range(3)]
            calls = []
            for future in futures:
                future.add_done_callback(calls.append)
            for future in futures:
                future.result()
        return futures, calls

    def check(made):
        futures, calls = made
        is_settled(small_pool)
        assert sorted(map(id, calls)) == sorted(map(id, futures))

    at_every_opcode(lambda _: home.drain(), prepare=prepare, check=check)


# ---- Loops --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def counting(function):
    return function("add_one_to_each", "void(long, long, double *)")


@pytest.mark.parametrize("options", [{}, {"grain": 1}, {"timeout": 20}])
def test_an_interrupted_loop_has_ended_when_it_raises(pool, counting, options):
    def check(counts):
        pool.quiesce(timeout=5)
        counts.append(0)  # BufferError while it is held
        pool.parallel_for(counting, len(counts), counts, **options)

    at_every_opcode(
        lambda counts: pool.parallel_for(counting, len(counts), counts, **options),
        prepare=lambda: array("d", bytes(8 * 50)),
        check=check,
    )


def test_an_interrupted_loop_in_python_has_ended_when_it_raises(pool):
    inside = []

    def body(begin, end):
        inside.append(begin)
        inside.pop()

    def check():
        pool.quiesce(timeout=5)
        assert inside == []

    at_every_opcode(lambda: pool.parallel_for(body, 4), check=check)


def test_a_prepared_loop_can_be_run_again_after_an_interrupt(pool, counting):
    counts = array("d", bytes(8 * 50))
    loop = pool.prepare(counting, 50, counts)
    at_every_opcode(loop, check=loop)


# ---- Pools --------------------------------------------------------------------------------------------------------------


# An interrupt between `open` and its `with` leaves the file to the collector, which closes it and warns.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_an_interrupted_constructor_leaves_no_thread():
    kthreads.Pool(1).shutdown()
    before = len(threads_of_process())

    def check():
        while len(threads_of_process()) > before:  # those that have just ended, or that garbage keeps
            gc.collect()

    def make():
        kthreads.Pool(2).shutdown()

    at_every_opcode(make, check=check)


@pytest.mark.parametrize("wait", [lambda p: p.quiesce(), lambda p: p.resize(3), lambda p: p.shutdown()])
def test_an_interrupted_wait_for_the_threads_can_be_made_again(minus, wait):
    def prepare():
        pool = kthreads.Pool(2)
        pool.submit(minus, 1, 2)
        return pool

    def check(pool):
        pool.shutdown()
        assert not completions.shared_completions().pending
        nothing_is_left_of_python_tasks()

    at_every_opcode(wait, prepare=prepare, check=check)


def test_a_pool_goes_on_after_an_interrupted_quiesce(small_pool, minus):
    future = small_pool.submit(minus, 1, 2)
    future.add_done_callback(lambda _: None)

    def check():
        assert small_pool.submit(minus, 1, 2).result(5) == -1
        calls = queue.SimpleQueue()
        small_pool.submit(minus, 1, 2).add_done_callback(calls.put)
        assert calls.get(timeout=5).result() == -1

    at_every_opcode(small_pool.quiesce, check=check)


def test_an_interrupted_drain_keeps_no_other_thread_from_draining(small_pool, minus, monkeypatch):
    monkeypatch.setattr(completions.CompletionQueue, "ensure_drained", lambda queue: None)

    def prepare():
        future = small_pool.submit(minus, 1, 2)
        future.add_done_callback(lambda _: None)
        return future

    def check(future):
        drains = kthreads.Thread(target=completions.drain_shared, daemon=True)
        drains.start()
        drains.join(5)
        assert not drains.is_alive()
        assert future.result(5) == -1

    at_every_opcode(lambda _: small_pool.quiesce(), prepare=prepare, check=check)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # a file that was just opened
def test_an_interrupted_trace_ends(pool, counting, tmp_path):
    counts = array("d", bytes(80))

    def traced():
        with pool.trace(tmp_path / "trace.json", events=8):
            pool.parallel_for(counting, 10, counts)

    def check():
        with pool.trace(tmp_path / "other.json", events=8):
            pool.parallel_for(counting, 10, counts)

    at_every_opcode(traced, check=check)
